"""The tree of commands: which words of the command line lead to which function.

A command's module is imported when the command runs, or when help lists it, so one command does not
pay for the others. A new command is one line here: the word, and `module:function` below `huks_async.cli`.
"""

from typing import TypeAlias

Commands: TypeAlias = dict[str, str]

USES: Commands = {
    "mac": "operations.secrets:mac",
    "derive": "operations.secrets:derive",
    "agree": "operations.secrets:agree",
}
"""Uses of a key that are found among the commands for files and among those of keys."""

TOP: Commands = {
    "demo": "demo:demo",
    "encrypt": "operations.crypt:encrypt",
    "decrypt": "operations.crypt:decrypt",
    "sign": "operations.signing:sign",
    "verify": "operations.signing:verify",
    **USES,
    "verify-attestation": "keys.attest:verify_attestation_command",
    "doctor": "machine.doctor:doctor",
    "algorithms": "machine.algorithms:algorithms",
    "completion": "completion:completion",
}

GROUPS: dict[str, tuple[str, Commands]] = {
    "keys": (
        "Make, import, look at, attest, convert and remove keys.",
        {
            "generate": "keys.generate:generate",
            "list": "keys.items:list_keys",
            "show": "keys.items:show_key",
            "delete": "keys.items:delete",
            "export": "keys.export:export",
            "attest": "keys.attest:attest",
            "attestation-root": "keys.attest:attestation_root",
            "verify-attestation": "keys.attest:verify_attestation_command",
            "import": "keys.imports:import_key",
            "import-wrapped": "keys.imports:import_wrapped",
            "convert": "keys.forms:convert_key",
            "describe": "keys.forms:describe_key",
            "wrap": "keys.forms:wrap_key",
            **USES,
        },
    ),
    "access": (
        "The user's PIN, for keys that are bound to it.",
        {
            "enroll": "keys.access:enroll",
            "clear": "keys.access:clear",
            "status": "keys.access:status",
            "token": "keys.access:token",
        },
    ),
    "store": (
        "Look after the store as a whole.",
        {"backup": "machine.store:backup"},
    ),
}
"""Commands of two words: by the first word, what the group is for and its second words."""

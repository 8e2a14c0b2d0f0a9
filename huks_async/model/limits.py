"""Limits of sessions: the generous default of a server, and those of a device."""

from dataclasses import dataclass

from huks_async.model.settings import check_flag, check_seconds, check_whole

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many sessions may be open, how long they may idle, how much data they take.

    Args:
        max_sessions: open sessions in all.
        max_sessions_per_caller: open sessions of one namespace.
        evict_oldest_idle: at a limit end the session that was opened first and is not in a call,
            as a device does. Otherwise only stale ones make room, and then the limit is an error.
        stale_after: seconds without a call after which a session may be purged on low memory
            or to make room.
        max_idle: seconds without a call after which a session ends in any case; None: never.
        max_call_bytes: bytes of `inData` of one call.
        max_collected_bytes: bytes that one operation that collects its data may hold; what SM2
            adds to a ciphertext counts in the device profile alone.
        max_ccm_bytes: the same for AES-CCM.
        max_ml_dsa_bytes: the same for ML-DSA.
        max_held_bytes: bytes that all sessions together may hold.
        max_listed_aliases: aliases that `listAliases` gives; None: all.
        refuse_empty_collected: refuse operations that collect their data and got none (12000014),
            even where the standard defines the empty message.

    Raises:
        BusinessError: 401 for a number, time or choice that is none, with its name.

    """

    max_sessions: int = 1_000_000
    max_sessions_per_caller: int = 1_000_000
    evict_oldest_idle: bool = False
    stale_after: float = 60.0
    max_idle: float | None = None
    max_call_bytes: int = 64 * MIB
    max_collected_bytes: int = 64 * MIB
    max_ccm_bytes: int = 64 * MIB
    max_ml_dsa_bytes: int = 64 * MIB
    max_held_bytes: int = 1024 * MIB
    max_listed_aliases: int | None = None
    refuse_empty_collected: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no limit: 401."""
        for name in (
            "max_sessions",
            "max_sessions_per_caller",
            "max_call_bytes",
            "max_collected_bytes",
            "max_ccm_bytes",
            "max_ml_dsa_bytes",
            "max_held_bytes",
        ):
            check_whole(getattr(self, name), f"Limits.{name}")
        if self.max_listed_aliases is not None:
            check_whole(self.max_listed_aliases, "Limits.max_listed_aliases", 0)
        check_seconds(self.stale_after, "Limits.stale_after", zero=True, endless=True)
        if self.max_idle is not None:
            check_seconds(self.max_idle, "Limits.max_idle", endless=True)
        for name in ("evict_oldest_idle", "refuse_empty_collected"):
            check_flag(getattr(self, name), f"Limits.{name}")

    @classmethod
    def device(cls) -> "Limits":
        """The limits of a device with the open software engine."""
        return cls(
            max_sessions=96,
            max_sessions_per_caller=32,
            evict_oldest_idle=True,
            max_call_bytes=983_040,
            max_collected_bytes=5 * MIB,
            max_ccm_bytes=100 * KIB,
            max_ml_dsa_bytes=100 * KIB,
            max_held_bytes=96 * 5 * MIB,
            max_listed_aliases=2048,
            refuse_empty_collected=True,
        )

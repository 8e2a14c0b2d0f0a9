"""How keys come to be: generated, imported, or kept from an agreement or derivation."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from huks_async.access.demand import check_ml_kem
from huks_async.crypto import engine
from huks_async.crypto.caller_warnings import warn_legacy
from huks_async.crypto.key_material import SYMMETRIC_ALGORITHMS, KeyMaterial
from huks_async.crypto.rules.authorise import check_key
from huks_async.crypto.rules.matrix import ALGORITHMS, Algorithm, has_size, list_sizes
from huks_async.keys.items.aliases import check_alias, storage_level
from huks_async.keys.items.attributes import (
    check_attributes,
    check_generation,
    check_way,
    may_override,
    stored_params,
)
from huks_async.keys.items.item import KeyItem, encode_params
from huks_async.keys.items.known_lists import KnownLists
from huks_async.keys.items.purposes import check_import_purpose
from huks_async.keys.items.shelf import KeyShelf
from huks_async.model.enums import HuksKeyAlg, HuksKeyFlag, HuksKeyStorageType
from huks_async.model.errors import BusinessError
from huks_async.model.params import NO_PARAMETERS, BytesLike, ParamSet
from huks_async.model.showing import shown
from huks_async.model.tags import HuksTag, InnerTag
from huks_async.runtime.process_pool import LONG_SECONDS, ProcessPool
from huks_async.runtime.workers import WorkerPool

if TYPE_CHECKING:
    from huks_async.access.control import AccessControl

_T = HuksTag
_USER = int(InnerTag.SPECIFIC_USER_ID)
_PASSWORD = int(_T.HUKS_TAG_IS_DEVICE_PASSWORD_SET)
_STORED_FLAG = int(_T.HUKS_TAG_DERIVED_AGREED_KEY_STORAGE_FLAG)
_ONLY_IN_HUKS = HuksKeyStorageType.HUKS_STORAGE_ONLY_USED_IN_HUKS
_EXPORTABLE = HuksKeyStorageType.HUKS_STORAGE_KEY_EXPORT_ALLOWED

# generated on the event loop, in less than 0.2 ms; a hop to a worker costs 0.1. SM2 takes 0.33, ML-DSA up
# to 0.28, DH 0.4 to 2.6, RSA and DSA milliseconds to seconds.
_QUICK = SYMMETRIC_ALGORITHMS | {
    HuksKeyAlg.HUKS_ALG_ECC,
    HuksKeyAlg.HUKS_ALG_X25519,
    HuksKeyAlg.HUKS_ALG_ED25519,
    HuksKeyAlg.HUKS_ALG_ML_KEM,
}

_MAX_RECIPES = 64

# What most searches for primes of 2048 bits need at most, in seconds: one in twenty takes longer. They grow with
# about the fourth power of the size.
_SEARCH_SECONDS: dict[int, float] = {HuksKeyAlg.HUKS_ALG_RSA: 0.3, HuksKeyAlg.HUKS_ALG_DSA: 1.5}


def generation_seconds(algorithm: int, size: int) -> float:
    """An estimate of the time that it takes to make a key."""
    return _SEARCH_SECONDS.get(algorithm, 0.0) * (size / 2048) ** 4


def is_stored(params: ParamSet) -> bool:
    """Whether the parameters of a finish call want the result of an agreement or derivation stored as a key."""
    return (
        params.number(_STORED_FLAG) == _ONLY_IN_HUKS
        or params.number(_T.HUKS_TAG_KEY_STORAGE_FLAG) == HuksKeyStorageType.HUKS_STORAGE_PERSISTENT
    )


def check_fate(base: ParamSet, *, stored: bool) -> None:
    """Check that a key lets what is agreed or derived with it be stored, or be given out: 12000012 otherwise.

    Args:
        base: the parameters of the key.
        stored: whether the result is stored as a key, and not given out.
    """
    rule = base.number(_STORED_FLAG)
    if (rule == _ONLY_IN_HUKS and not stored) or (rule == _EXPORTABLE and stored):
        wanted, way_out = (
            ("stored as a key", "finish the session without storing it")
            if stored
            else ("given out", "finish a session with parameters that store it as a key")
        )
        raise BusinessError(
            12000012,
            f"the result was to be {wanted}, but its base key was made with "
            f"{HuksKeyStorageType(rule).name}; {way_out}",
        )


def refuse_one_stage(item: KeyItem) -> None:
    """Refuse a key bound to a user for work without a session, which no token could come with: 12000001."""
    if item.demand is not None and (item.demand.needs_user or item.demand.password):
        raise BusinessError(
            12000001,
            f"key {shown(item.alias)} is bound to a user's authentication, and works in sessions alone",
        )


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the parameters of a key to be generated come to, once all checks have passed."""

    algorithm: Algorithm
    size: int
    legacy: bool
    level: int
    override: bool
    encoded: bytes
    """The attributes that are stored with the key."""
    depends_on_user: bool
    """Whether it is good for one key alone, because a user's credentials were looked at."""


class KeyMaker:
    """Makes key items of one shelf."""

    def __init__(
        self,
        shelf: KeyShelf,
        pool: WorkerPool,
        processes: ProcessPool,
        access: "AccessControl",
        user_id: int,
        *,
        device: bool,
    ) -> None:
        self._shelf = shelf
        self._access = access
        self._user_id = user_id
        self._pool = pool
        self._processes = processes
        self._device = device
        self._recipes: dict[tuple[tuple[int, int], ...], Recipe] = {}
        self._lists: KnownLists[Recipe] = KnownLists()

    def recall(self, properties: list[Any]) -> Recipe | None:
        """Recognise the parameters of a key to be generated, for `generate_like`. Does not wait; takes any list."""
        try:
            known = self._lists.recognise(properties)
        except Exception:  # something for the parser; a caller's class may raise anything
            return None
        return None if known is None else known[0]

    async def generate_like(self, alias: str, recipe: Recipe) -> None:
        """Generate a key under `alias` by what `recall` gave."""
        if not recipe.override:
            await self._refuse_taken(alias, recipe.level)
        await self._make(alias, recipe)

    async def generate(self, alias: str, params: ParamSet, properties: object = None) -> None:
        """Generate a key under `alias`; see `Keystore.generateKeyItem`.

        Args:
            alias: its name.
            params: the parameters, parsed.
            properties: the list that they were parsed from, so that `recall` recognises it from now on.
        """
        # A service makes many keys alike. What numbers come to depends on nothing else where no user is asked for,
        # so it is found once.
        numbers = None if params.blobs else tuple(params.numbers.items())
        recipe = None if numbers is None else self._recipes.get(numbers)
        if recipe is None:
            recipe = await self._check_generation(alias, params)
            if numbers is not None and not recipe.depends_on_user:
                if len(self._recipes) >= _MAX_RECIPES:
                    self._recipes.clear()
                self._recipes[numbers] = recipe
        elif not recipe.override:
            await self._refuse_taken(alias, recipe.level)
        if numbers in self._recipes and _USER not in params.numbers:
            # whose keys are meant is decided by the parser's caller
            self._lists.keep_list(properties, params, recipe)
        await self._make(alias, recipe, params)

    async def _make(self, alias: str, recipe: Recipe, params: ParamSet = NO_PARAMETERS) -> None:
        algorithm, size = recipe.algorithm.number, recipe.size
        if recipe.legacy:
            warn_legacy(f"{algorithm.name} of {size} bits")
        if algorithm in _QUICK:
            material = engine.generate(algorithm, size)
        elif (seconds := generation_seconds(algorithm, size)) > LONG_SECONDS:
            material = await self._processes.run(seconds, engine.generate, algorithm, size)
        else:
            material = await self._pool.run(engine.generate, algorithm, size)
        encoded = recipe.encoded
        if recipe.depends_on_user:
            encoded = await self._attributes_now(params, HuksKeyFlag.HUKS_KEY_FLAG_GENERATE_KEY)
        await self._shelf.save(alias, recipe.level, encoded, material, override=recipe.override)

    async def _check_generation(self, alias: str, params: ParamSet) -> Recipe:
        """Check all there is to check, in the documented order."""
        check_generation(params)
        level = await self._check_name(alias, params)
        check_way(params)
        bound = await self._admit(params)
        algorithm, _, size = check_key(params.numbers, device=self._device)
        await self._access.check_password(params, self._user_id)
        kept = stored_params(params, HuksKeyFlag.HUKS_KEY_FLAG_GENERATE_KEY, bound)
        return Recipe(
            algorithm,
            size,
            has_size(algorithm.legacy_sizes, size),
            level,
            may_override(params),
            encode_params(kept),
            depends_on_user=len(bound) > 0 or params.number(_PASSWORD) is not None,
        )

    async def _admit(self, params: ParamSet) -> ParamSet:
        """Check the attributes that need something beside the engine; gives what notes whom the key is bound to."""
        check_ml_kem(params.numbers)
        check_attributes(params)
        return await self._access.admit_key(params, self._user_id)

    async def import_plain(self, alias: str, params: ParamSet, data: BytesLike) -> None:
        """Import key material under `alias`; see `Keystore.importKeyItem`."""
        level = await self._check_name(alias, params)
        # On a device, the application's side translates these bytes before the service looks at what a key demands.
        material = await self._translate(params, data)
        bound = await self._admit(params)
        material = await self._check_and_read(params, data, material)
        await self._save(alias, level, params, material, HuksKeyFlag.HUKS_KEY_FLAG_IMPORT_KEY, bound)

    async def import_wrapped(
        self, alias: str, wrapping_alias: str, params: ParamSet, data: BytesLike
    ) -> None:
        """Import a key that came encrypted for another key; see `Keystore.importWrappedKeyItem`."""
        from huks_async.keys.wrapping import wrapped  # late, as all that most services never do

        level = await self._check_name(alias, params)
        bound = await self._admit(params)
        suite = wrapped.required_suite(params)
        wrapped.split_container(suite, data)
        check_key(params.numbers, device=self._device)
        wrapping = await self._shelf.find(wrapping_alias, level)
        refuse_one_stage(wrapping)
        wrapped.check_wrapping_purpose(suite, wrapping.params.numbers.get(_T.HUKS_TAG_PURPOSE, 0))
        plain = wrapped.open_wrapped(suite, data, wrapping.material, params)
        material = await self.read_material(params, plain)
        await self._save(alias, level, params, material, HuksKeyFlag.HUKS_KEY_FLAG_IMPORT_KEY, bound)

    async def check_secret(self, alias: str, params: ParamSet) -> None:
        """Check that an encapsulated secret can be stored as this key, before there is one."""
        from huks_async.keys.wrapping.encapsulation import check_secret_params

        await self._check_name(alias, params)
        check_secret_params(params)
        await self._admit(params)
        check_key(params.numbers, device=self._device)

    async def store_secret(self, alias: str, params: ParamSet, secret: bytes, flag: HuksKeyFlag) -> None:
        """Store an encapsulated secret as a key; its parameters passed `check_secret`."""
        material = await self.read_material(params, secret)
        await self._save(alias, storage_level(params), params, material, flag)

    async def read_material(self, params: ParamSet, data: BytesLike) -> KeyMaterial:
        """Check the parameters and bytes of a key that comes in, and make material of them."""
        # the documented order: bytes that can be read at once, parameters, other bytes, purpose
        return await self._check_and_read(params, data, await self._translate(params, data))

    async def _translate(self, params: ParamSet, data: BytesLike) -> KeyMaterial | None:
        """Make material of bytes that can be read at once; None for others."""
        from huks_async.keys.forms import importing

        importing.refuse_too_long(params, len(data))
        if importing.is_slow_to_translate(params):
            return await self._processes.run(
                importing.CHECK_SECONDS, importing.translated, params, bytes(data)
            )
        return importing.translated(params, bytes(data))

    async def _check_and_read(
        self, params: ParamSet, data: BytesLike, material: KeyMaterial | None
    ) -> KeyMaterial:
        """Do what is left to do after `_translate`."""
        from huks_async.keys.forms import importing

        raw = params.number(_T.HUKS_TAG_ALGORITHM) in SYMMETRIC_ALGORITHMS
        check_key(params.numbers, device=self._device, raw=raw)
        if material is None:
            material = importing.measured(params, bytes(data))
        check_import_purpose(params)
        if material is not None:
            return material
        if importing.is_slow(params):
            # the check of an RSA key's primes holds the interpreter for up to 0.3 s: no thread hides that
            return await self._processes.run(
                importing.CHECK_SECONDS, importing.material_from_import, params, bytes(data)
            )
        return importing.material_from_import(params, bytes(data))

    async def keep_secret(self, base: ParamSet, params: ParamSet, secret: bytes, flag: HuksKeyFlag) -> bytes:
        """Decide at finish where the result of an agreement or derivation goes.

        Args:
            base: the parameters of the key that it was made with.
            params: the parameters of the finish call.
            secret: the result.
            flag: whether it was agreed or derived.

        Returns:
            the secret, or nothing when it was stored as a key.
        """
        stored = is_stored(params)
        check_fate(base, stored=stored)
        if not stored:
            return secret
        alias, material = self._check_result(params, secret)
        level = storage_level(params)
        bound = await self._admit(params)
        await self._save(alias, level, params, material, flag, bound)
        return b""

    def _check_result(self, params: ParamSet, secret: bytes) -> tuple[str, KeyMaterial]:
        try:
            alias = params.blobs.get(_T.HUKS_TAG_KEY_ALIAS, b"").decode()
        except UnicodeDecodeError:
            raise BusinessError(401, "HUKS_TAG_KEY_ALIAS is not UTF-8") from None
        check_alias(alias, "HUKS_TAG_KEY_ALIAS")
        number = params.number(_T.HUKS_TAG_ALGORITHM)
        if number not in SYMMETRIC_ALGORITHMS:
            raise BusinessError(
                401,
                f"HUKS_TAG_ALGORITHM: got {number}; a stored result is a symmetric key, e.g. HUKS_ALG_AES",
            )
        size = params.number(_T.HUKS_TAG_KEY_SIZE)
        if size != len(secret) * 8:
            raise BusinessError(
                401,
                f"HUKS_TAG_KEY_SIZE: got {size}, the result has {len(secret) * 8} bits; both must agree",
            )
        algorithm = ALGORITHMS[number]
        if not params.number(_T.HUKS_TAG_PURPOSE):
            raise BusinessError(401, "HUKS_TAG_PURPOSE is missing: a stored result needs it to be of use")
        if self._device and not algorithm.device:
            raise BusinessError(401, f"HUKS_TAG_ALGORITHM: a device has no {algorithm.number.name} keys")
        if not has_size(algorithm.sizes, size):
            raise BusinessError(
                12000003,
                f"HUKS_TAG_KEY_SIZE: got {size}, {algorithm.number.name} accepts {list_sizes(algorithm.sizes)}",
            )
        return alias, KeyMaterial(number, size, secret)

    async def _check_name(self, alias: str, params: ParamSet) -> int:
        """An alias that must not be replaced is asked for before anything else is checked."""
        level = storage_level(params)
        if not may_override(params):
            await self._refuse_taken(alias, level)
        return level

    async def _refuse_taken(self, alias: str, level: int) -> None:
        if await self._shelf.exists(alias, level):
            raise self._shelf.exists_already(self._shelf.name(alias, level))

    async def _save(
        self,
        alias: str,
        level: int,
        params: ParamSet,
        material: KeyMaterial,
        flag: HuksKeyFlag,
        bound: ParamSet | None = None,
    ) -> None:
        kept = await self._attributes_now(params, flag, bound)
        await self._shelf.save(alias, level, kept, material, override=may_override(params))

    async def _attributes_now(
        self, params: ParamSet, flag: HuksKeyFlag, bound: ParamSet | None = None
    ) -> bytes:
        """What is stored with a key that is about to be saved.

        Args:
            params: of the key; they were admitted.
            flag: where it comes from.
            bound: what the admission gave, if that is known; empty: the key is bound to nobody.
        """
        await self._access.check_password(params, self._user_id)
        if bound is None or len(bound):
            # Credentials may have been changed while the key was made, and it would be void from its beginning.
            bound = await self._access.admit_key(params, self._user_id)
        return encode_params(stored_params(params, flag, bound))

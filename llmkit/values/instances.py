"""What a client is made of: instances, tasks, timeouts."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from llmkit.errors import ConfigError, InvalidRequestError, shown
from llmkit.values.base import Value
from llmkit.values.options import CALL_SETTINGS, NO_OPTIONS, OPTION_NAMES, Options, slip
from llmkit.values.secret import Secret


def _label(value: Any, attribute: Any, text: Any) -> None:
    if not isinstance(text, str) or not text.strip():
        raise ConfigError(f"{type(value).__name__}.{attribute.name}: expected a non-empty string, got {shown(text)}")


def _positive(value: Any, attribute: Any, number: Any) -> None:
    if number is None:
        return
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 < number <= sys.float_info.max:
        raise ConfigError(f"{type(value).__name__}.{attribute.name}: expected a number above 0, got {shown(number)}")


def _whole(value: Any, attribute: Any, number: Any) -> None:
    if number is not None and (isinstance(number, bool) or not isinstance(number, int) or not 1 <= number < 2**63):
        raise ConfigError(f"{type(value).__name__}.{attribute.name}: expected a whole number of at least 1, got {shown(number)}")


def _rank(value: Any, attribute: Any, number: Any) -> None:
    if isinstance(number, bool) or not isinstance(number, int):
        raise ConfigError(f"{type(value).__name__}.{attribute.name}: expected a whole number, got {shown(number)}")


def _flag(value: Any, attribute: Any, flag: Any) -> None:
    if not isinstance(flag, bool):
        raise ConfigError(f"{type(value).__name__}.{attribute.name}: expected True or False, got {shown(flag)}")


def _mapping(value: Any, attribute: Any, mapping: Any) -> None:
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{type(value).__name__}.{attribute.name}: expected a mapping, got {type(mapping).__name__}")


def _label_or_none(value: Any, attribute: Any, text: Any) -> None:
    if text is not None:
        _label(value, attribute, text)


def _secret(key: str | Secret | None) -> Secret | None:
    if key is None or isinstance(key, Secret):
        return key
    if not isinstance(key, str):
        raise ConfigError(f"api_key: expected a string, got {type(key).__name__}")
    if not key.strip():
        return None
    try:
        return Secret(key)
    except ValueError as problem:
        message = str(problem)
    raise ConfigError(f"api_key: {message}")


def _secrets(keys: str | Iterable[str | Secret]) -> tuple[Secret, ...]:
    listed = keys.split(",") if isinstance(keys, str) else keys
    if isinstance(listed, (bytes, bytearray, Mapping)) or not isinstance(listed, Iterable):
        raise ConfigError(f"api_keys: expected a list of keys, got {type(keys).__name__}")
    found = []
    for position, key in enumerate(listed):
        secret = _secret(key)
        if secret is None:
            raise ConfigError(f"api_keys[{position}]: expected a key, got an empty string")
        found.append(secret)
    return tuple(found)


def _names(parameter: str, names: str | Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        return (names,)
    if isinstance(names, (bytes, bytearray, Mapping)) or not isinstance(names, Iterable):
        raise ConfigError(f"{parameter}: expected a list of names, got {type(names).__name__}")
    found = tuple(names)
    for position, name in enumerate(found):
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(f"{parameter}[{position}]: expected a non-empty string, got {shown(name)}")
    return found


def _tasks(names: str | Iterable[str]) -> tuple[str, ...]:
    return _names("tasks", names)


def _fallbacks(names: str | Iterable[str]) -> tuple[str, ...]:
    return _names("fallbacks", names)


def _options(options: Options | Mapping[str, Any]) -> Options:
    if isinstance(options, Options):
        return options
    if not isinstance(options, Mapping):
        raise ConfigError(f"options: expected a mapping or Options, got {type(options).__name__}")
    if not options:
        return NO_OPTIONS
    if "response_model" in options:
        from llmkit.values.tools import response_format

        options = {**options, "response_format": response_format(options["response_model"])}
        del options["response_model"]
    unknown = [name for name in options if name not in OPTION_NAMES]
    for name in unknown:
        _check_extra(name)
    extra = {name: options[name] for name in unknown}
    known = {name: value for name, value in options.items() if name not in extra}
    if extra:
        known["extra"] = {**extra, **(known.get("extra") or {})}
    return Options(**known)


def _check_extra(name: str) -> None:
    """See that a default that is no option may be meant for the vendor."""
    if name in CALL_SETTINGS:
        said = "a setting of calls, which is no default of a task or an instance"
    elif near := slip(name):
        said = f"no such parameter; did you mean {near!r}?"
    else:
        return
    raise InvalidRequestError(f"{name}: {said}; fields of the vendor's own go into extra={{...}}")


@attrs.frozen(eq=False, repr=False)
class Timeouts(Value):
    """The parts of a call's time, in seconds. None means the default."""

    connect: float | None = attrs.field(default=None, validator=_positive)
    """Name look-up, TCP and TLS together. Default 5."""
    first_event: float | None = attrs.field(default=None, validator=_positive)
    """From sending a streamed request to its first event. Default 60."""
    idle: float | None = attrs.field(default=None, validator=_positive)
    """Between two events of a stream; comments and pings do not count. Default 60."""
    attempt: float | None = attrs.field(default=None, validator=_positive)
    """One try, whole or streamed. Default 600."""

    def over(self, defaults: Timeouts) -> Timeouts:
        """These timeouts, with ``defaults`` where they say nothing."""
        return Timeouts(
            self.connect or defaults.connect,
            self.first_event or defaults.first_event,
            self.idle or defaults.idle,
            self.attempt or defaults.attempt,
        )


DEFAULT_TIMEOUTS = Timeouts(connect=5.0, first_event=60.0, idle=60.0, attempt=600.0)

LIMITS = ("rpm", "tpm", "rpd", "tpd", "rpm_per_key", "tpm_per_key", "rpd_per_key", "tpd_per_key")
"""The fields of an instance that limit requests and tokens."""


@attrs.frozen(eq=False, repr=False, slots=False)
class Instance(Value):
    """One model at one vendor, with the keys to use it.

    :raises ConfigError: if a value has the wrong type or is out of range; the message names the parameter.
    """

    provider: str = attrs.field(validator=_label)
    """Name of a provider plugin, such as ``openai``."""
    model: str = attrs.field(validator=_label)
    api_key: Secret | None = attrs.field(default=None, converter=_secret)
    """The key; None looks in the environment under the vendor's usual names."""
    api_keys: tuple[Secret, ...] = attrs.field(default=(), converter=_secrets)
    """Several keys, used in rotation. Comma-separated text is taken apart."""
    base_url: str | None = attrs.field(default=None, validator=_label_or_none)
    """The vendor's API root as its documentation gives it, or a full endpoint URL; None means the vendor's own."""
    name: str | None = attrs.field(default=None, validator=_label_or_none)
    """What the instance is called; default ``provider/model``, numbered where that is taken."""
    tasks: tuple[str, ...] = attrs.field(default=(), converter=_tasks)
    """Tasks it serves. Calls without a task may go to any instance."""
    fallbacks: tuple[str, ...] = attrs.field(default=(), converter=_fallbacks)
    """Models to turn to, in order, when the instances of a call's model cannot serve it, where neither the call nor its task names
    any; before the client's."""
    weight: float = attrs.field(default=1, validator=_positive)
    """Share of the calls under the ``weighted`` strategy."""
    priority: int = attrs.field(default=0, validator=_rank)
    """Its tier under the ``priority`` strategy: the lowest that can serve a call gets it."""
    rpm: int | None = attrs.field(default=None, validator=_whole)
    """Requests in any 60 seconds, with all its keys together: for keys of one account, which share its limits."""
    tpm: int | None = attrs.field(default=None, validator=_whole)
    """Tokens in any 60 seconds, prompts and answers, likewise."""
    rpd: int | None = attrs.field(default=None, validator=_whole)
    """Requests in any 24 hours, likewise."""
    tpd: int | None = attrs.field(default=None, validator=_whole)
    """Tokens in any 24 hours, likewise."""
    rpm_per_key: int | None = attrs.field(default=None, validator=_whole)
    """Requests in any 60 seconds for each key: for keys of different accounts. So are the next three."""
    tpm_per_key: int | None = attrs.field(default=None, validator=_whole)
    rpd_per_key: int | None = attrs.field(default=None, validator=_whole)
    tpd_per_key: int | None = attrs.field(default=None, validator=_whole)
    max_concurrency: int | None = attrs.field(default=None, validator=_whole)
    """Calls in flight at once; None means no limit."""
    max_concurrency_per_key: int | None = attrs.field(default=None, validator=_whole)
    """Calls in flight at once for each key; None means no limit, or 5 where the keys come as a list from the environment."""
    enabled: bool = attrs.field(default=True, validator=_flag)
    timeout: float | None = attrs.field(default=None, validator=_positive)
    """Seconds one try on this instance may take; None means the client's ``Timeouts.attempt``."""
    headers: Mapping[str, str] = attrs.field(factory=dict, validator=_mapping)
    """Extra HTTP headers for every request."""
    allow_http: bool = attrs.field(default=False, validator=_flag)
    """Allow ``http://`` to other hosts than this machine."""
    options: Options = attrs.field(default=NO_OPTIONS, converter=_options)
    """Defaults for every call, over the task's and under the request's."""
    settings: Mapping[str, Any] = attrs.field(factory=dict, validator=_mapping)
    """Settings of this provider alone, such as ``api_version`` for ``azure_openai``."""

    def __attrs_post_init__(self) -> None:
        if self.api_key is not None and self.api_keys:
            raise ConfigError(f"Instance {self.provider}/{self.model}: give api_key or api_keys, not both")
        if len(set(self.api_keys)) < len(self.api_keys):
            raise ConfigError(f"Instance {self.provider}/{self.model}: api_keys holds the same key twice")
        for header, value in self.headers.items():
            _check_header(header, value)
        if self.base_url is not None:
            check_url(self.base_url, self.allow_http)

    def completed(self, **changes: Any) -> Instance:
        """A copy with some fields replaced by values that are known to be good, at a tenth of the cost of checking all again. A new
        base URL is checked.

        :raises ConfigError: if the base URL is not allowed.
        """
        copy = object.__new__(Instance)
        vars(copy).update(vars(self))
        vars(copy).update(changes)
        if "base_url" in changes:
            check_url(changes["base_url"], self.allow_http)
        return copy


FRAMING = ("content-length", "transfer-encoding", "expect")


def _check_header(name: Any, value: Any) -> None:
    if isinstance(name, str) and name.lower() in FRAMING:
        raise ConfigError(f"headers: {name} says where a request ends, which is not for the caller to say")
    good_name = isinstance(name, str) and name and all("!" <= c <= "~" and c not in '()<>@,;:\\"/[]?={}' for c in name)
    good_value = isinstance(value, str) and all(c == "\t" or " " <= c <= "~" for c in value)
    if not good_name or not good_value:
        raise ConfigError(f"headers: {shown(name)} is no valid HTTP header (visible ASCII, no line breaks)")


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


METADATA_HOSTS = {"metadata.google.internal", "metadata"}
METADATA_ADDRESSES = ("169.254.0.0/16", "fd00:ec2::254/128")


def _is_metadata(host: str) -> bool:
    """Whether ``host``, however its address is written, is where a cloud tells its machines their credentials.

    :raises ConfigError: if it is an IPv4 address in a spelling that only resolvers know, such as one number.
    """
    last = host.rpartition(".")[2]
    if ":" not in host and not last.isdigit() and not last.startswith("0x"):
        return host in METADATA_HOSTS
    import ipaddress

    try:
        address: Any = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is None:
        raise ConfigError(f"base_url: {host} is no address; write IPv4 as four numbers with dots between")
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in ipaddress.ip_network(network) for network in METADATA_ADDRESSES)


def check_url(url: str, allow_http: bool) -> None:
    """Refuse a URL that would send a key in the clear, or to a place no vendor is.

    :raises ConfigError: with the reason; user information in the URL is not shown.
    """
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError("base_url: expected a URL such as https://host/v1")
    if parts.username is not None or parts.password is not None:
        raise ConfigError("base_url: must hold no user name or password; give the key as api_key")
    if any(c <= " " or c == "\x7f" for c in url) or parts.fragment:
        raise ConfigError("base_url: must hold no white space, control character or fragment")
    host = host.rstrip(".")
    if not url.isascii():
        raise ConfigError("base_url: must be ASCII; an international host name is written xn--…")
    if _is_metadata(host):
        raise ConfigError(f"base_url: {host} is a cloud metadata address, not a vendor")
    if parts.scheme == "http" and not allow_http and not is_loopback(host):
        raise ConfigError(f"base_url: http:// to {host} would send the key in the clear; use https:// or allow_http=True")


class Task:
    """A kind of work with defaults of its own: ``Task("summary", max_tokens=500, temperature=0.3)``.

    :param name: what requests and instances call it.
    :param fallbacks: models to turn to, in order, when the call's own cannot serve it and it names none itself.
    :param defaults: any parameter of :class:`Options`; a name llmkit does not know goes to the vendor as it is.
    :raises ConfigError: if the name is empty.
    :raises InvalidRequestError: if a default has the wrong type, is out of range, or is a setting of calls such as ``timeout``.
    """

    __slots__ = ("defaults", "fallbacks", "name")
    name: str
    defaults: Options
    fallbacks: tuple[str, ...]

    def __init__(self, name: str, *, fallbacks: Iterable[str] = (), **defaults: Any) -> None:
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(f"Task.name: expected a non-empty string, got {shown(name)}")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "fallbacks", _names("Task.fallbacks", fallbacks))
        object.__setattr__(self, "defaults", _options(defaults))

    def with_param(self, name: str, value: Any) -> Task:
        """This task with one more default; a name llmkit does not know goes to the vendor as it is."""
        given = self.defaults.to_dict()
        if name in OPTION_NAMES:
            given[name] = value
        else:
            _check_extra(name)
            given["extra"] = {**given.get("extra", {}), name: value}
        return Task(self.name, fallbacks=self.fallbacks, **given)

    def with_max_tokens(self, max_tokens: int) -> Task:
        """This task with another limit on the answer's length, in tokens."""
        return self.with_param("max_tokens", max_tokens)

    def with_temperature(self, temperature: float) -> Task:
        """This task with another sampling temperature."""
        return self.with_param("temperature", temperature)

    def __setattr__(self, name: str, value: Any) -> None:
        raise attrs.exceptions.FrozenInstanceError

    def __repr__(self) -> str:
        given = "".join(f", {name}={value!r}" for name, value in self.defaults.to_dict().items())
        fallbacks = f", fallbacks={list(self.fallbacks)!r}" if self.fallbacks else ""
        return f"Task({self.name!r}{fallbacks}{given})"

    def __eq__(self, other: object) -> bool:
        mine = (self.name, self.fallbacks, self.defaults)
        return isinstance(other, Task) and mine == (other.name, other.fallbacks, other.defaults)

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_task, (self.name, self.fallbacks, self.defaults.to_dict()))


def _task(name: str, fallbacks: tuple[str, ...], defaults: dict[str, Any]) -> Task:
    return Task(name, fallbacks=fallbacks, **defaults)

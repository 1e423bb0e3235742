"""`dataclass` for what a hook imports: the same classes, without what `dataclasses` costs at the start.

The standard library writes and compiles six functions for each class, and imports `inspect` for it: two thirds of the
time in which a host waits for a hook. Here the functions are shared, and nothing is compiled. To whoever asks
(`dataclasses.fields`, `replace`, `asdict`) these are data classes. Standard library only.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast, dataclass_transform

T = TypeVar("T")


class _Factory:
    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def field(*, default_factory: Callable[[], T]) -> T:
    """A field whose default is made anew for each instance."""
    return cast("T", _Factory(default_factory))


@dataclass_transform(field_specifiers=(field,))
def dataclass(*, frozen: bool = False, slots: bool = True) -> Callable[[type[T]], type[T]]:
    """As `dataclasses.dataclass`, for classes with slots, without inheritance of fields and without `InitVar`."""
    assert slots, "every class here has slots"

    def made(cls: type[T]) -> type[T]:
        return _made(cls, frozen)

    return made


def replace(instance: T, **changes: Any) -> T:
    """A copy of an instance with other values. Raises `TypeError` for a name that it has not."""
    names = cast("tuple[str, ...]", getattr(type(instance), "__match_args__", ()))
    return type(instance)(**{**{name: getattr(instance, name) for name in names}, **changes})


def _made(cls: type[T], frozen: bool) -> type[T]:
    own = dict(cls.__dict__)
    names: tuple[str, ...] = tuple(own.get("__annotations__", ()))
    defaults = {name: own.pop(name) for name in names if name in own}
    for name in ("__dict__", "__weakref__"):
        own.pop(name, None)
    own |= {"__slots__": names, "__match_args__": names, "__eq__": _equal, "__reduce__": _reduce}
    own.setdefault("__repr__", _repr)
    own["__hash__"] = _hash if frozen else None
    if frozen:
        own |= {"__setattr__": _refuse, "__delattr__": _refuse}
    own["__dataclass_fields__"] = _Fields(cls.__name__, own.get("__annotations__", {}), defaults)
    new: Any = type(cls)(cls.__name__, cls.__bases__, own)
    new.__init__ = _init(names, defaults, [new.__dict__[name].__set__ for name in names], cls.__name__)
    return new


def _init(
    names: tuple[str, ...], defaults: Mapping[str, Any], setters: list[Callable[[Any, Any], None]], owner: str
) -> Callable[..., None]:
    count = len(names)

    def __init__(self: Any, *given: Any, **named: Any) -> None:
        if len(given) == count and not named:
            for setter, value in zip(setters, given, strict=True):
                setter(self, value)
            return
        if len(given) > count:
            raise TypeError(f"{owner}() takes {count} values, got {len(given)}")
        for index, setter in enumerate(setters):
            name = names[index]
            if index < len(given):
                if name in named:
                    raise TypeError(f"{owner}() got two values for {name}")
                value = given[index]
            elif name in named:
                value = named.pop(name)
            elif name in defaults:
                value = defaults[name]
                if isinstance(value, _Factory):
                    value = value.make()
            else:
                raise TypeError(f"{owner}() lacks a value for {name}")
            setter(self, value)
        if named:
            raise TypeError(f"{owner}() has no {', '.join(sorted(named))}")

    return __init__


def _values(instance: Any) -> tuple[Any, ...]:
    return tuple([getattr(instance, name) for name in instance.__slots__])


def _equal(self: Any, other: object) -> bool:
    return _values(self) == _values(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _repr(self: Any) -> str:
    inner = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
    return f"{type(self).__qualname__}({inner})"


def _reduce(self: object) -> tuple[type[object], tuple[Any, ...]]:
    return type(self), _values(self)


def _refuse(self: Any, name: str, value: object = None) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"{type(self).__name__} does not change: {name}")


class _Fields:
    """What `dataclasses` asks for, made when it asks."""

    def __init__(self, name: str, annotations: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        self._name, self._annotations, self._defaults = name, annotations, defaults
        self._known: dict[str, Any] | None = None

    def __get__(self, instance: object, owner: type) -> dict[str, Any]:
        if self._known is None:
            import dataclasses

            fields: list[Any] = []
            for name, kind in self._annotations.items():
                if name not in self._defaults:
                    fields.append((name, kind))
                    continue
                value = self._defaults[name]
                made: Any = isinstance(value, _Factory)
                known: Any = dataclasses.field(default_factory=value.make) if made else dataclasses.field(default=value)
                fields.append((name, kind, known))
            shadow: Any = dataclasses.make_dataclass(self._name, fields)
            self._known = dict(shadow.__dataclass_fields__)
        return self._known

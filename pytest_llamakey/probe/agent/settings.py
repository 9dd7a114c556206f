"""What settings of pydantic's would have read: the variables of the fields that they lack."""

from pytest_llamakey.probe.agent.base import peek

_MOST_NAMES = 20
_DEEPEST = 3


def lacking(error):
    """The variables for which a ``ValidationError`` found nothing, as the settings' class asks for them.

    The exception names fields alone; ``env_prefix``, aliases and ``env_nested_delimiter`` make variables of them
    (pydantic-settings, "Environment variable names").
    """
    cls = _settings_class(error)
    if cls is None:
        return []
    found = []
    for each in error.errors():
        if each.get("type") == "missing" and each.get("loc"):
            found += _variables(cls, [str(part) for part in each["loc"]])
    return list(dict.fromkeys(found))[:_MOST_NAMES]


def _settings_class(error):
    """The class whose objects could not be made, if it reads variables: the innermost on the exception's way."""
    if type(error).__name__ != "ValidationError" or not hasattr(error, "errors"):
        return None
    trace, cls = error.__traceback__, None
    while trace is not None:
        names = trace.tb_frame.f_locals if trace.tb_frame.f_code.co_name == "__init__" else {}
        made = type(names.get("__pydantic_self__", names.get("self")))
        if isinstance(_fields(made), dict) and made.__name__ == peek(error, "title"):
            cls = made
        trace = trace.tb_next
    return cls if cls is not None and "env_prefix" in (peek(cls, "model_config") or ()) else None


def _fields(cls):
    return peek(cls, "__pydantic_fields__") or peek(cls, "model_fields")


def _variables(cls, loc):
    """The names for the field at ``loc``; a field that is settings itself stands for those of its own that it needs."""
    config, first = cls.model_config, loc[0]
    name, field = _field(cls, first)
    delimiter = config.get("env_nested_delimiter")
    starts = [first] if field is None else _aliases(field) or ["%s%s" % (config.get("env_prefix") or "", name)]
    if not delimiter:  # then the section's own variable holds it all, as JSON
        return [start.upper() for start in starts]
    inner = field
    for part in loc[1:]:
        inner = _field(peek(inner, "annotation"), part)[1]
    ends = [[*loc[1:], *rest] for rest in _needed(peek(inner, "annotation"), 0)]
    return [delimiter.join([start, *end]).upper() for start in starts for end in ends]


def _field(cls, name):
    """The field's name and itself; an exception calls it by its alias, where it has one."""
    for own, field in (_fields(cls) or {}).items():
        if name == own or name in _aliases(field):
            return own, field
    return name, None


def _aliases(field):
    alias = peek(field, "validation_alias") or peek(field, "alias")
    return [each for each in peek(alias, "choices") or [alias] if isinstance(each, str)]


def _needed(cls, depth):
    """The ways to the fields below that have no default: ``[["api_key"]]``; ``[[]]`` of a plain value."""
    fields = _fields(cls) if isinstance(cls, type) and depth < _DEEPEST else None
    if not isinstance(fields, dict):
        return [[]]
    needed = [(name, field) for name, field in fields.items() if field.is_required()]
    return [[name, *rest] for name, field in needed for rest in _needed(peek(field, "annotation"), depth + 1)]

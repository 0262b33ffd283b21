"""A reader of YAML 1.2, which DVC writes."""

import re

import yaml


class Yaml12Loader(yaml.SafeLoader):
    """PyYAML with YAML 1.2's numbers and booleans, because DVC writes YAML 1.2.

    YAML 1.1 reads 1e-05, DVC's form of 0.00001, as a string; 010 as 8; 1:30 as 90; no, the code of Norwegian, as false.
    """


_TAGS = {
    "tag:yaml.org,2002:bool": re.compile(r"^(true|True|TRUE|false|False|FALSE)$"),
    "tag:yaml.org,2002:int": re.compile(r"^[-+]?(0|[1-9][0-9]*)$"),
    "tag:yaml.org,2002:float": re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$"),
}
Yaml12Loader.yaml_implicit_resolvers = {}
for _first_character, _resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items():
    Yaml12Loader.yaml_implicit_resolvers[_first_character] = [pair for pair in _resolvers if pair[0] not in _TAGS]
for _tag, _pattern in _TAGS.items():  # in order: integers also match the pattern of floats
    Yaml12Loader.add_implicit_resolver(_tag, _pattern, list("-+.0123456789tTfF"))

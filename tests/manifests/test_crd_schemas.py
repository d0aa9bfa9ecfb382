"""Schemas made from CRDs: strict, in the form of the shared ones, and nothing by halves where the internet is away."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.manifests import crd_schemas, schemas

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: rockets.example.dev}
spec:
  group: example.dev
  names: {kind: Rocket, plural: rockets}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          description: A rocket.
          type: object
          required: [spec]
          properties:
            apiVersion: {type: string, description: said}
            kind: {type: string}
            metadata: {type: object}
            spec:
              type: object
              required: [stages]
              properties:
                description: {type: string, description: a field that is called so}
                stages: {type: integer, format: int32, minimum: 1}
                thrust:
                  anyOf: [{type: integer}, {type: string}]
                  x-kubernetes-int-or-string: true
                launch: {type: string, format: date-time}
                labels: {type: object, additionalProperties: {type: string}}
                payload: {type: object, x-kubernetes-preserve-unknown-fields: true}
                crew:
                  type: array
                  items: {type: object, properties: {name: {type: string}}}
                fuel:
                  type: object
                  properties: {solid: {type: string}, liquid: {type: string}}
                  oneOf: [{required: [solid], properties: {solid: {minLength: 1}}}, {required: [liquid]}]
    - name: v1alpha1
      served: false
      storage: false
      schema: {openAPIV3Schema: {type: object}}
"""


@pytest.fixture
def schema() -> dict[str, Any]:
    """The one served version of the small CRD."""
    [(path, made)] = crd_schemas.of_crd(yaml.safe_load(CRD))
    assert path == "example.dev/rocket_v1.json"
    return made


def problems(schema: dict[str, Any], **spec: Any) -> list[str]:
    """What a schema refuses in a rocket."""
    rocket = {"apiVersion": "example.dev/v1", "kind": "Rocket", "metadata": {"any": 1}, "spec": {"stages": 1, **spec}}
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(rocket)]


@pytest.mark.parametrize(
    "spec",
    [
        {"thrust": 1, "description": "d"},
        {"thrust": "1k", "launch": "2026-01-01T00:00:00Z"},
        {"labels": {"any": "thing"}, "payload": {"any": {"thing": 1}}},
        {"crew": [{"name": "a"}, {}]},
        {"fuel": {"solid": "s"}},
    ],
)
def test_what_the_crd_allows_is_allowed(schema: dict[str, Any], spec: dict[str, Any]) -> None:
    assert problems(schema, **spec) == []


@pytest.mark.parametrize(
    "spec",
    [
        {"stagse": 1},
        {"stages": 0},
        {"thrust": 1.5},
        {"labels": {"any": 1}},
        {"crew": [{"nmae": "a"}]},
        {"fuel": {"solid": "s", "liquid": "l"}},
        {"fuel": {"solid": "s", "gas": "g"}},
    ],
)
def test_what_it_does_not_is_refused(schema: dict[str, Any], spec: dict[str, Any]) -> None:
    assert len(problems(schema, **spec)) == 1


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a structural schema of the strategy below allows."""
    if "properties" in schema:
        return st.fixed_dictionaries({}, optional={name: values(part) for name, part in schema["properties"].items()})
    if "items" in schema:
        return st.lists(values(schema["items"]), max_size=2)
    return st.integers() if schema["type"] == "integer" else st.text(max_size=3)


names = st.text("abc", min_size=1, max_size=3)
structural = st.recursive(
    st.sampled_from([{"type": "integer"}, {"type": "string"}]),
    lambda part: st.one_of(
        st.builds(
            lambda properties: {"type": "object", "description": "said", "properties": properties},
            st.dictionaries(names, part, min_size=1, max_size=3),
        ),
        st.builds(lambda items: {"type": "array", "items": items}, part),
    ),
    max_leaves=4,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine
@given(structural, st.data())
def test_whatever_a_schema_allows_is_allowed_and_one_field_more_is_not(
    schema: dict[str, Any], data: st.DataObject
) -> None:
    validator = jsonschema.Draft202012Validator(crd_schemas.strict(schema))
    value = data.draw(values(schema))
    assert validator.is_valid(value)
    for mapping in mappings(value):
        mapping["unknown"] = 1
        assert not validator.is_valid(value)
        del mapping["unknown"]


def mappings(value: Any) -> list[dict[str, Any]]:
    """All mappings in a value, itself included."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [*([value] if isinstance(value, dict) else []), *(found for part in inner for found in mappings(part))]


def test_nothing_but_the_root_fields_stand_beside_the_spec(schema: dict[str, Any]) -> None:
    assert set(schema) == {"additionalProperties", "properties", "required", "type"}
    assert set(schema["properties"]) == {"apiVersion", "kind", "metadata", "spec"}
    assert "description" not in schema["properties"]["apiVersion"]
    assert "description" in schema["properties"]["spec"]["properties"]


def test_the_form_is_that_of_the_shared_schemas(crd_schemas_folder: Path) -> None:
    """Kueue's LocalQueue by hand as its CRD says it, against the shared schema of it."""
    shared = json.loads((crd_schemas_folder / "kueue.x-k8s.io/localqueue_v1beta2.json").read_text())
    weight = shared["properties"]["spec"]["properties"]["fairSharing"]["properties"]["weight"]
    in_crd = {"anyOf": [{"type": "integer"}, {"type": "string"}], "description": "said", **weight}
    del in_crd["type"]
    assert crd_schemas.strict(in_crd) == weight
    assert crd_schemas.strict(shared["properties"]["spec"]) == shared["properties"]["spec"]


@pytest.fixture
def crd_schemas_folder(crd_schemas: Path) -> Path:
    """The folder of shared schemas."""
    return crd_schemas


def test_schemas_are_written_where_validation_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOPLINE_SCHEMAS", str(tmp_path))
    assert crd_schemas.write(f"{CRD}\n---\nkind: ConfigMap\n", schemas.folder()) == ["example.dev/rocket_v1.json"]
    rocket = {"apiVersion": "example.dev/v1", "kind": "Rocket", "metadata": {"name": "r"}, "spec": {"stages": 1}}
    assert schemas.problems(rocket) == []
    assert schemas.problems({**rocket, "spce": {}}) != []


def test_without_the_internet_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOOPLINE_SCHEMAS", str(tmp_path))
    versions = tmp_path / "versions.yaml"
    versions.write_text(
        yaml.safe_dump({"releases": [{"name": "a", "version": "v1", "crds": ["http://127.0.0.1:9/crd"]}]})
    )
    monkeypatch.setattr(crd_schemas, "VERSIONS", versions)
    assert crd_schemas.main() == 1
    assert "`make schemas` needs the internet" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [versions]


def test_a_file_without_crds_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none.yaml").write_text("kind: ConfigMap\n")
    versions = tmp_path / "versions.yaml"
    url = (tmp_path / "none.yaml").as_uri()
    versions.write_text(yaml.safe_dump({"releases": [{"name": "a", "version": "v1", "crds": [url]}]}))
    monkeypatch.setattr(crd_schemas, "VERSIONS", versions)
    monkeypatch.setenv("LOOPLINE_SCHEMAS", str(tmp_path / "schemas"))
    assert crd_schemas.main() == 1
    assert "holds no CRD" in capsys.readouterr().err

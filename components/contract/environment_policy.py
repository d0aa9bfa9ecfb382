"""What an environment changes of a use case's release policy and gates, without another image: its policy.yaml.

usecase.yaml is the default. On a cluster the file is in ConfigMap ``<use case>-policy``, which pods get as
LOOPLINE_POLICY.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from loopline.components.contract.gates import Gate, Validation
from loopline.components.contract.release import ReleasePolicy
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.errors import LooplineError
from loopline.components.io.strict import Strict, parse_yaml

VARIABLE = "LOOPLINE_POLICY"
FILE = "policy.yaml"


class EnvironmentPolicy(Strict):
    """The content of a policy.yaml.

    Attributes:
        release: what is set here replaces the same key of usecase.yaml's ``release``; the rest stays.
        gates: replace ``validation.gates``, all of them; None leaves them.
    """

    release: ReleasePolicy = ReleasePolicy()
    gates: tuple[Gate, ...] | None = None

    @classmethod
    def parse(cls, text: str, where: str = f"the environment's {FILE}") -> "EnvironmentPolicy":
        """The policy in a text; an empty text changes nothing.

        Args:
            text: YAML.
            where: what to call it in errors.

        Raises:
            LooplineError: it is not YAML, has an unknown key, or a value is wrong.
        """
        return parse_yaml(text, where, cls) if text.strip() else cls()

    def release_keys(self) -> tuple[str, ...]:
        """The keys of ``release`` that are set here."""
        return tuple(sorted(self.release.model_fields_set))

    def applied_to(self, spec: UseCaseSpec) -> UseCaseSpec:
        """A use case's spec with the release policy and the gates of this environment.

        Raises:
            LooplineError: a gate names a slice or scenario that the use case does not have.
        """
        if not self.model_fields_set:
            return spec
        release = _merged(spec.release.model_dump(), self.release.model_dump(exclude_unset=True))
        validation = spec.validation.model_dump()
        if self.gates is not None:
            validation["gates"] = [gate.model_dump() for gate in self.gates]
        try:
            changed = {
                "release": ReleasePolicy.model_validate(release),
                "validation": Validation.model_validate(validation),
            }
        except ValidationError as error:
            problem = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise LooplineError(f"the environment's {FILE} for use case {spec.name}: {problem}") from error
        return spec.model_copy(update=changed)


UNCHANGED = EnvironmentPolicy()


def _merged(default: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(default)
    for key, value in override.items():
        merged[key] = _merged(merged[key], value) if isinstance(value, dict) else value
    return merged

"""The releases of KAITO: what each serves, by which a cluster tells which one it has, and what each takes.

The catalogue names a release, and requests are judged by that name alone. The cluster is asked before a
workspace is created, and by sweeps. Source: the CustomResourceDefinitions, the webhook and the list of
presets of https://github.com/kaito-project/kaito at the tag of each release.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Literal, get_args

Release = Literal["0.6", "0.7", "0.8", "0.9", "0.10", "0.11", "0.12"]
RELEASES: tuple[Release, ...] = get_args(Release)
#: The release by which a catalogue is judged that names none.
DEFAULT_RELEASE: Release = "0.12"

#: The releases whose vLLM (0.9.0, 0.10.1.1) cannot be told from where it may fetch pictures, sounds and
#: videos: it knows the argument from 0.11.0.
FETCHES_ALL: frozenset[Release] = frozenset({"0.6", "0.7"})

#: Marks that are no fields of a Workspace.
SIZE_HAS_DEFAULT = "resource.instanceType has a default"
INFERENCE_SET = "InferenceSet"
#: The maps of a Workspace whose fields are marks; the fields of all others are ignored.
MARKED_MAPS = frozenset(
    {"resource", "inference", "inference.preset", "inference.preset.presetOptions", "status"}
)
_OF_ALL = frozenset(
    {
        "resource",
        *(f"resource.{name}" for name in ("count", "instanceType", "labelSelector", "preferredNodes")),
        "inference",
        *(f"inference.{name}" for name in ("adapters", "config", "preset", "template")),
        *(f"inference.preset.{name}" for name in ("accessMode", "name", "presetOptions")),
        *(
            f"inference.preset.presetOptions.{name}"
            for name in ("image", "imagePullSecrets", "modelAccessSecret")
        ),
        "tuning",
        "status",
        *(f"status.{name}" for name in ("conditions", "workerNodes")),
    }
)
_MARKS_0_6 = _OF_ALL | {SIZE_HAS_DEFAULT}
_MARKS_0_7 = _MARKS_0_6 | {"status.targetNodeCount"}
_MARKS_0_8 = _MARKS_0_7 - {SIZE_HAS_DEFAULT}
_MARKS_0_9 = _MARKS_0_8 | {"status.state"}
_MARKS_0_10 = _MARKS_0_9 | {"status.performance"}
_MARKS_0_11 = _MARKS_0_10 | {INFERENCE_SET}
_MARKS_0_12 = _MARKS_0_11 | {"resource.partition"}
#: What `kaito.sh/v1beta1` has in each release: the fields of a Workspace, whether its instance type has a
#: default, and the kind InferenceSet. No two releases have the same.
MARKS: Mapping[Release, frozenset[str]] = {
    "0.6": _MARKS_0_6,
    "0.7": _MARKS_0_7,
    "0.8": _MARKS_0_8,
    "0.9": _MARKS_0_9,
    "0.10": _MARKS_0_10,
    "0.11": _MARKS_0_11,
    "0.12": _MARKS_0_12,
}


def release_of(marks: Set[str]) -> Release | None:
    """The release that has exactly these marks; None for one that the table does not have."""
    return next((release for release, known in MARKS.items() if known == marks), None)


@dataclass(frozen=True, slots=True)
class AccessSecrets:
    """The short presets whose workspaces may name an access secret, None for all, and those that must. A
    model's id at Hugging Face (`organization/name`) may always name one.
    """

    taken: frozenset[str] | None = None
    needed: frozenset[str] = frozenset()

    def takes(self, preset: str) -> bool:
        return self.taken is None or preset in self.taken or "/" in preset


_LLAMAS = frozenset({"llama-3.1-8b-instruct", "llama-3.3-70b-instruct"})
_DOWNLOADED_0_6 = _LLAMAS | {"deepseek-r1-0528", "deepseek-v3-0324"}
_DOWNLOADED_0_7 = _DOWNLOADED_0_6 | {"gpt-oss-120b"}
_DOWNLOADED_0_8 = _DOWNLOADED_0_7 | {
    "gemma-3-4b-instruct",
    "gemma-3-27b-instruct",
    "ministral-3-3b-instruct",
    "ministral-3-8b-instruct",
    "ministral-3-14b-instruct",
    "mistral-large-3-675b-instruct",
}
#: Up to 0.10 the webhook refuses a secret for a preset whose weights are in its image. From 0.11 all weights
#: are downloaded.
ACCESS_SECRETS: Mapping[Release, AccessSecrets] = {
    "0.6": AccessSecrets(_DOWNLOADED_0_6, _DOWNLOADED_0_6),
    "0.7": AccessSecrets(_DOWNLOADED_0_7, _DOWNLOADED_0_7),
    "0.8": AccessSecrets(_DOWNLOADED_0_8, _LLAMAS),
    "0.9": AccessSecrets(_DOWNLOADED_0_8, _LLAMAS),
    "0.10": AccessSecrets(_DOWNLOADED_0_8, _LLAMAS),
    "0.11": AccessSecrets(),
    "0.12": AccessSecrets(),
}

StartProblem = Literal["KaitoReleaseDiffers", "KaitoReleaseUnknown"]


def start_problem(named: Release | None, found: Release | None, *, is_bounded: bool) -> StartProblem | None:
    """Why no new workspace may be created in a cluster with the release `found`, None for an unknown one.

    `named` is the release that the catalogue names: where it names none, any known release will do.
    `is_bounded`: the catalogue says how many nodes a workspace of the model may take.
    """
    if found is None:
        return None if is_bounded else "KaitoReleaseUnknown"
    return None if named in (None, found) else "KaitoReleaseDiffers"


def difference(named: Release | None, found: Release | None) -> str:
    """What differs between the catalogue and the cluster, for people; empty when nothing does."""
    judged = (
        f"the catalogue names {named}"
        if named is not None
        else f"the catalogue names none and is judged for {DEFAULT_RELEASE}"
    )
    if found is None:
        return f"the cluster has a release of KAITO that this version of Mergekey does not know; {judged}"
    if found == (named or DEFAULT_RELEASE):
        return ""
    return f"the cluster has KAITO {found}; {judged}"

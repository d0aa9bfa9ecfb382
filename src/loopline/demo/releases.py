"""The releases at the end of a loop: played once for the same models, and kept."""

from collections.abc import Callable
from dataclasses import dataclass

from loopline.components.contract.usecase import UseCase
from loopline.components.errors import LooplineError
from loopline.demo import saved
from loopline.demo.demo import Play, releaser, was_stopped
from loopline.demo.endpoint import served
from loopline.demo.step import Act, Version
from loopline.demo.traffic import Traffic, events
from loopline.local.workspace import Workspace

FEWEST_EVENTS = 2_000


@dataclass(frozen=True)
class Releases:
    """The releases of a use case at the end of its loop.

    Attributes:
        workspace: where state lies.
        case: the use case.
        announce: called with a sentence before and after each act.
        reuse: whether acts of an earlier loop count.
    """

    workspace: Workspace
    case: UseCase
    announce: Callable[[str], None]
    reuse: bool = True

    def hold(self, champion: Version, challenger: Version | None) -> list[Act]:
        """Release the challenger over the champion, then a spoiled one over whichever serves after that.

        Args:
            champion: what the challenger was compared with.
            challenger: None if it was not better.

        Returns:
            the acts, of an earlier loop if that played them with the same models.

        Raises:
            LooplineError: there is too little to ask about, or the endpoint cannot be served here.
        """
        file = saved.place(self.workspace, self.case.spec, champion.model, challenger.model if challenger else None)
        if self.reuse and (made := saved.read(file)) is not None:
            for act in made:
                self.announce(f"release: {act.canary}: {act.record.outcome} by an earlier loop")
            return made
        if (found := events(self.case)) < FEWEST_EVENTS:
            raise LooplineError(f"it has {found:,} events to ask about, and a release takes {FEWEST_EVENTS:,}")
        self.announce(f"serve version {champion.number}, and ask it about {self.case.spec.replay.compare[0]} and on")
        with served(self.workspace, self.case, champion) as endpoint:
            whoever = releaser(self.case, endpoint)
            with whoever.target.held(), Traffic(self.case, endpoint.wait_until_ready().port) as traffic:
                play = Play(self.workspace, self.case, self.announce, endpoint, whoever, traffic)
                acts = play.acts(champion, challenger)
        if len(acts) == (2 if challenger else 1) and not any(was_stopped(act) for act in acts):
            saved.write(file, acts)
        return acts

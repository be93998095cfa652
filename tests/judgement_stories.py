"""The stories of docs/judgement.md: each a run as people have them, and why somebody is told of it or is not.

Minutes are counted from the run's start. Every story begins with the verdict of its first minute.
"""

from __future__ import annotations

from typing import Final

from judged import Doing, Story, idle, unseen, work

from gpuwatch.model.judgement import IDLE, KEPT_WARM, OK, RESERVED, SNOOZED, STUCK, UNDERUSED

HUNG: Final = 100.0
"""Watts of a GPU that a collective call spins on."""
NOBODY: Final = None

WORKING: Final = (
    Story(title="trains for four hours", doing=(work(240),), verdicts={1: OK}, told=NOBODY, why="it computes"),
    Story(
        title="data loader is the bottleneck: 30 % all day",
        doing=(work(240, 0.3),), verdicts={1: OK}, told=NOBODY, why="slow, but at work: `gpuwatch show` has advice",
    ),
    Story(
        title="evaluates on the CPU for 8 min after every 40",
        doing=(work(40), idle(8)) * 4, verdicts={1: OK}, told=NOBODY, why="every phase ends before the clock is up",
    ),
    Story(
        title="writes a checkpoint for 2 min after every 20",
        doing=(work(20), idle(2)) * 8, verdicts={1: OK}, told=NOBODY, why="a pause is no idleness",
    ),
    Story(
        title="pauses for 14 min", doing=(work(60), idle(14), work(30)),
        verdicts={1: OK}, told=NOBODY, why="a minute short of the limit",
    ),
    Story(
        title="pauses for 15 min", doing=(work(60), idle(15), work(30)),
        verdicts={1: OK, 75: IDLE, 76: OK}, told=NOBODY, why="idle for all to see, and gone again at once",
    ),
    Story(
        title="reads its data for 25 min at the start, on 8 CPUs",
        doing=(Doing(25, cores=8.0), work(60)), verdicts={1: OK}, told=NOBODY, why="it has just started",
    ),
    Story(
        title="compiles for 29 min at the start, with no CPU to be seen",
        doing=(idle(29), work(60)), verdicts={1: OK}, told=NOBODY, why="it has just started",
    ),
    Story(
        title="prepares the next epoch on its CPUs for 28 min",
        doing=(work(60), Doing(28, cores=4.0), work(60)), verdicts={1: OK}, told=NOBODY, why="its CPUs are at work",
    ),
    Story(
        title="exactly 5 % in every minute", doing=(work(120, 0.05),),
        verdicts={1: OK, 60: UNDERUSED}, told=NOBODY, why="at the limit is not below it; the report shows it",
    ),
    Story(
        title="8 % in every minute", doing=(work(120, 0.08),),
        verdicts={1: OK, 60: UNDERUSED}, told=NOBODY, why="used, if badly: only in the report",
    ),
    Story(
        title="exactly 10 % in every minute", doing=(work(120, 0.1),),
        verdicts={1: OK}, told=NOBODY, why="at the limit is not below it",
    ),
    Story(
        title="one busy minute in ten, at 10 %", doing=(idle(9), work(1, 0.1)) * 12,
        verdicts={1: OK, 60: UNDERUSED}, told=NOBODY, why="a minute at 5 % or more sets the clock back",
    ),
)  # fmt: skip

WASTING: Final = (
    Story(
        title="forgotten after training, one GPU", doing=(work(60), idle(90)),
        verdicts={1: OK, 75: IDLE}, told=120, why="after a GPU-hour",
    ),
    Story(
        title="forgotten after training, 8 GPUs", doing=(work(60), idle(90)), gpus=8,
        verdicts={1: OK, 75: IDLE}, told=90, why="4 GPU-hours, but never before half an hour",
    ),
    Story(
        title="never begins", doing=(idle(90),), verdicts={1: OK, 30: IDLE}, told=60, why="30 min of grace are over",
    ),
    Story(
        title="4.9 % in every minute", doing=(work(90, 0.049),),
        verdicts={1: OK, 30: IDLE}, told=60, why="what a display or a stray call takes is no work",
    ),
    Story(
        title="one sample of noise in ten minutes", doing=(work(60), *(idle(9), work(1, 0.004)) * 9),
        verdicts={1: OK, 75: IDLE}, told=120, why="0.4 % of a minute does not set the clock back",
    ),
    Story(
        title="one GPU of eight is never used", doing=(idle(120),), others=((work(120),),) * 7,
        verdicts={1: OK, 30: IDLE}, told=60, why="one GPU is one GPU-hour an hour",
    ),
    Story(
        title="its CPUs are busy for hours, its GPU never", doing=(Doing(120, cores=8.0),),
        verdicts={1: OK, 30: IDLE}, told=60, why="busy CPUs double the time, and no more",
    ),
    Story(
        title="ends a minute before its owner would be told", doing=(work(60), idle(59), Doing(30, gone=True)),
        verdicts={1: OK, 75: IDLE}, told=NOBODY, why="there is nothing left to stop",
    ),
    Story(
        title="goes on a minute before its owner would be told", doing=(work(60), idle(59), work(60)),
        verdicts={1: OK, 75: IDLE, 120: UNDERUSED, 126: OK}, told=NOBODY,
        why="it computes again; the last hour is still a bad one",
    ),
    Story(
        title="wakes for a minute every 50", doing=(work(60), *(idle(50), work(1, 0.5)) * 3),
        verdicts={1: OK, 75: IDLE, 111: OK, 115: UNDERUSED, 126: IDLE, 162: UNDERUSED, 177: IDLE, 213: UNDERUSED},
        told=NOBODY, why="each time it is used before an hour is lost; the report shows it",
    ),
)  # fmt: skip

PEOPLE: Final = (
    Story(
        title="a notebook while its person is at lunch", kind="interactive", begins=11.0,
        doing=(work(60), idle(75), work(30)),
        verdicts={1: OK, 75: IDLE, 136: UNDERUSED, 142: OK}, told=NOBODY, why="people think, and eat",
    ),
    Story(
        title="a notebook overnight", kind="interactive", begins=17.0, doing=(work(60), idle(600)),
        verdicts={1: OK, 75: IDLE}, told=180, why="nobody thinks for two hours",
    ),
    Story(
        title="an inference service at night", kind="service", begins=20.0, doing=(work(120), idle(480)),
        verdicts={1: OK, 135: IDLE}, told=NOBODY, why="a service waits for questions: only in the report",
    ),
    Story(
        title="kept from looking idle: 6 % busy, SMs at 0.3 %", doing=(Doing(240, 0.06, sm=0.003),),
        verdicts={1: OK, 60: UNDERUSED, 120: KEPT_WARM}, told=NOBODY, why="only in the report: no machine can be sure",
    ),
    Story(
        title="the same at 30 %", doing=(Doing(240, 0.3, sm=0.003),),
        verdicts={1: OK, 120: KEPT_WARM}, told=NOBODY, why="only in the report",
    ),
    Story(
        title="the same on a GPU that tells nothing of its SMs", doing=(Doing(240, 0.06, sm=0.0),),
        verdicts={1: OK, 60: UNDERUSED}, told=NOBODY, why="utilisation is all there is to go by",
    ),
    Story(
        title="idle for two hours, then its first batch is small", doing=(work(60), idle(120), Doing(5, 0.3, sm=0.005)),
        verdicts={1: OK, 75: IDLE, 181: UNDERUSED}, told=120, why="idle time is not time of being kept warm",
    ),
)  # fmt: skip

STUCK_OR_NOT: Final = (
    Story(
        title="all 8 ranks hang in a collective call", doing=(work(60), Doing(60, 1.0, watts=HUNG)), gpus=8,
        verdicts={1: OK, 70: STUCK}, told=70, why="100 % busy at the power of doing nothing, for 10 min",
    ),
    Story(
        title="one rank of 8 died, the others wait for it",
        doing=(work(60), idle(60)), others=((work(60), Doing(60, 1.0, watts=HUNG)),) * 7,
        verdicts={1: OK, 75: IDLE}, told=70, why="the other seven are stuck",
    ),
    Story(
        title="hangs for 9 min and goes on", doing=(work(60), Doing(9, 1.0, watts=HUNG), work(30)),
        verdicts={1: OK}, told=NOBODY, why="a slow storage does that",
    ),
    Story(
        title="100 % at 200 W of 700", doing=(Doing(120, 1.0, watts=200.0),),
        verdicts={1: OK}, told=NOBODY, why="small kernels and memory-bound ones are work",
    ),
    Story(
        title="100 % at 133 W on a card that idles at 70", doing=(Doing(60, 1.0, watts=133.0),),
        verdicts={1: OK}, told=NOBODY, why="a tenth of the way to its 700 W: at the limit",
    ),
    Story(
        title="100 % at 132 W on a card that idles at 70", doing=(Doing(60, 1.0, watts=132.0),),
        verdicts={1: OK, 10: STUCK}, told=10, why="just below the limit, from the start",
    ),
    Story(
        title="98 % at the power of doing nothing", doing=(Doing(60, 0.98, watts=HUNG),),
        verdicts={1: OK}, told=NOBODY, why="what hangs never pauses",
    ),
    Story(
        title="hangs on a card never seen unused, at 130 W", shows_idle_power=False,
        doing=(Doing(60, 1.0, watts=130.0),),
        verdicts={1: OK, 10: STUCK}, told=10, why="a tenth of the power limit is taken for its idle power",
    ),
    Story(
        title="100 % on a GPU that does not tell its power", doing=(Doing(60, 1.0, watts=0.0),),
        verdicts={1: OK}, told=NOBODY, why="what is not known is no proof",
    ),
    Story(
        title="hangs at 3 on a Sunday morning", begins=6 * 24 + 2.0, doing=(work(60), Doing(60, 1.0, watts=HUNG)),
        verdicts={1: OK, 70: STUCK}, told=70, why="only its owner can end it, at any hour",
    ),
)  # fmt: skip

UNKNOWN: Final = (
    Story(
        title="20 min unseen in an idle stretch", doing=(work(60), idle(10), unseen(20), idle(60)),
        verdicts={1: OK, 95: IDLE}, told=140, why="the clock stands while nothing is seen",
    ),
    Story(
        title="half of every minute unseen", doing=(work(60), Doing(130, seen=0.5)),
        verdicts={1: OK, 90: IDLE}, told=180, why="only what was seen counts",
    ),
    Story(
        title="the agent starts anew in an idle stretch", doing=(work(60), idle(90)), restarts=(65, 80, 119),
        verdicts={1: OK, 75: IDLE}, told=120, why="the clock is rebuilt from the record",
    ),
    Story(
        title="the agent is down for half an hour, idle before and after",
        doing=(work(60), idle(20), unseen(30), idle(60)), restarts=(110,),
        verdicts={1: OK, 75: IDLE}, told=150, why="it was idle when last seen; the half hour is not counted",
    ),
    Story(
        title="the clock is set back an hour", doing=(work(60), idle(90)), clock_steps={70: -3600.0},
        verdicts={1: OK, 75: IDLE}, told=120, why="durations do not go by the wall clock",
    ),
    Story(
        title="the clock is set forward three hours", doing=(work(60), idle(90)), clock_steps={70: 3 * 3600.0},
        verdicts={1: OK, 75: IDLE}, told=120, why="durations do not go by the wall clock",
    ),
    Story(
        title="a driver that tells no utilisation", doing=(Doing(240, None),),
        verdicts={1: OK}, told=NOBODY, why="what is not known is neither idle nor proof",
    ),
)  # fmt: skip

SHARED: Final = (
    Story(
        title="shares a GPU with one who computes", doing=(work(60), Doing(120, 0.0, other=0.9)),
        verdicts={1: OK, 75: IDLE}, told=NOBODY, why="of a GPU that is used it wastes next to nothing",
    ),
    Story(
        title="two forgotten notebooks on one GPU", kind="interactive",
        doing=(work(60), Doing(300, 0.0, other=0.0)),
        verdicts={1: OK, 75: IDLE}, told=300, why="each wastes half of it: two hours after four",
    ),
    Story(
        title="a slice of one seventh (MIG)", capacity=1 / 7, doing=(work(60), idle(480)),
        verdicts={1: OK, 75: IDLE}, told=480, why="a GPU-hour after seven hours",
    ),
    Story(
        title="Slurm holds the GPU, no process ever came", doing=(Doing(90, reserved=True),),
        verdicts={1: OK, 30: RESERVED}, told=60, why="as good as idle",
    ),
    Story(
        title="a job between two steps", doing=(work(60), Doing(5, reserved=True), work(60)),
        verdicts={1: OK}, told=NOBODY, why="a pause is no idleness",
    ),
    Story(
        title="the process ended, the job goes on", doing=(work(60), Doing(90, reserved=True)),
        verdicts={1: OK, 75: RESERVED}, told=120, why="nobody else can have the GPU",
    ),
)  # fmt: skip

MEANT: Final = (
    Story(
        title="snoozed, and the snooze runs out", doing=(work(60), idle(120)), snooze=(80, 150),
        verdicts={1: OK, 75: IDLE, 80: SNOOZED, 150: IDLE}, told=150, why="quiet as long as it was asked for",
    ),
    Story(
        title="`GPUWATCH_EXPECT_IDLE=4h: waiting for labels`", doing=(idle(300),), snooze=(0, 240),
        verdicts={1: OK, 30: SNOOZED, 240: IDLE}, told=240, why="said at launch, and over after four hours",
    ),
    Story(
        title="snoozed and hung", doing=(work(60), Doing(60, 1.0, watts=HUNG)), snooze=(0, 240),
        verdicts={1: OK, 70: SNOOZED}, told=NOBODY, why="who asks for quiet has it",
    ),
    Story(
        title="snoozed and at work", doing=(work(120),), snooze=(0, 240),
        verdicts={1: OK}, told=NOBODY, why="what is ok stays so",
    ),
    Story(
        title="idle on a Saturday, where weekends are quiet", begins=5 * 24 + 10.0, doing=(work(60), idle(240)),
        overrides=({"days": "sat sun", "quiet": True},),
        verdicts={1: OK, 75: IDLE}, told=NOBODY, why="the operator's word",
    ),
    Story(
        title="idle from Sunday to Monday, where weekends are quiet", begins=6 * 24 + 20.0,
        doing=(work(60), idle(240)), overrides=({"days": "sat sun", "quiet": True},),
        verdicts={1: OK, 75: IDLE}, told=240, why="told as the weekend ends",
    ),
    Story(
        title="idle at night, where nights have two hours", begins=20.0, doing=(work(60), idle(180)),
        overrides=({"hours": "20:00-08:00", "idle_after": "2h"},),
        verdicts={1: OK, 114: UNDERUSED, 180: IDLE}, told=180, why="the night's limit, then it is long enough",
    ),
    Story(
        title="8 GPUs idle, in a project that is told after 15 min", gpus=8, doing=(work(60), idle(60)),
        overrides=({"project": "vision", "push_after": "15m"},),
        verdicts={1: OK, 75: IDLE}, told=75, why="2 GPU-hours, and the project asked for it",
    ),
    Story(
        title="3 %, for a user who counts as active from 2 % on", doing=(work(120, 0.03),),
        overrides=({"user": "ann", "idle_below": 0.02, "underused_below": 0.01},),
        verdicts={1: OK}, told=NOBODY, why="a simulation that runs mostly on its CPUs",
    ),
)  # fmt: skip

STORIES: Final = (*WORKING, *WASTING, *PEOPLE, *STUCK_OR_NOT, *UNKNOWN, *SHARED, *MEANT)

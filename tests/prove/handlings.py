"""How faults are handled, how to remove each handling from the source, and the test that must fail then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Change(NamedTuple):
    """An exact text that is in the file once, and what stands there without the handling."""

    text: str
    without: str


@dataclass(frozen=True)
class Handling:
    """One way in which a fault is handled, how to remove it, and the test that must fail then."""

    name: str
    file: str
    changes: tuple[Change, ...]
    test: str

    def removed_from(self, source: str) -> str:
        """The source without it. Raises ValueError where the source is not what this was written for."""
        for text, without in self.changes:
            if source.count(text) != 1:
                times = source.count(text)
                raise ValueError(f"{self.name}: its text is in {self.file} {times} times: {text.strip()!r}")
            source = source.replace(text, without)
        compile(source, self.file, "exec")
        return source


def remove(name: str, file: str, test: str, *changes: tuple[str, str]) -> Handling:
    """A handling whose test is in test_faults.py, unless it names another file."""
    test = test if "::" in test else f"test_faults.py::{test}"
    return Handling(name, file, tuple(Change(*change) for change in changes), f"tests/{test}")


OTHERS_LOSE_NOTHING = "test_the_other_gpus_lose_nothing"
SHARED_FAIRLY = "test_runs_that_share_a_gpu_get_what_they_used"
LOST = "test_a_lost_gpu_is_unknown_until_it_is_back[lost-and-hung]"
HANGING = "test_a_hanging_gpu_is_unknown_until_it_answers[lost-and-hung]"
IN_PLACE = "test_an_upgraded_driver_is_loaded_in_place[upgrade]"
FRESH = "test_a_library_that_stays_mapped_takes_a_fresh_process[upgrade-stuck]"
OLD_DRIVER = "test_an_old_driver_is_read_by_its_rates[old-driver]"
NO_DRIVER = "test_without_any_driver_the_cpu_is_read_and_one_line_says_why[no-driver]"

SAMPLING_ON_THE_LOOP = (
    ("log = logging.getLogger(__name__)\n",
     "log = logging.getLogger(__name__)\nasync def _inline(cycle, now):\n    return cycle.run(now)\n"),
    ("loop = asyncio.get_running_loop()", "loop = self._loop = asyncio.get_running_loop()"),
    ("dues.add(cycle.run(now))",
     "dues.add(asyncio.run_coroutine_threadsafe(_inline(cycle, now), self._loop).result())"),
)  # fmt: skip

HANDLINGS = (
    remove("a GPU that is not read is unknown", "agent/cycle.py", LOST,
           ("                self.ledger.enter(uuid, outcome, unix=now.unix)\n            self._activity",
            "            self._activity")),
    remove("one GPU's failure is its own", "agent/fleet.py", f"{OTHERS_LOSE_NOTHING}[lost-and-hung]",
           ("if isinstance(result, DriverUnavailable):\n                self._lose_driver",
            "if isinstance(result, Exception):\n                self._lose_driver")),
    remove("a driver that went is tried again at once", "agent/fleet.py",
           "test_without_its_driver_a_gpu_is_unknown[reload]",
           ("            if not self._to_close:\n                raise\n", "            raise\n")),
    remove("a roll-up once shown stays shown", "account/ledger.py", "test_no_counter_falls[clock]",
           ("self.people[person] = roll_up._replace(zero_until_unix=0.0)", "pass"),
           ("Use() if roll_up.zero_until_unix else", "Use() if unix < roll_up.zero_until_unix else")),
    remove("a call has a deadline", "sense/lane.py", HANGING,
           ("if self.current is not None and remaining <= 0:", "if False:")),
    remove("a hanging GPU is not called again", "sense/lane.py", HANGING,
           ("in self._stuck.items() if thread.is_alive()}", "in self._stuck.items() if False}")),
    remove("sampling is off the serving thread", "agent/daemon.py", "test_metrics_answers_at_once[lost-and-hung]",
           *SAMPLING_ON_THE_LOOP),
    remove("a session that ended is opened again", "sense/nvml/calls.py", "test_what_runs_are_charged_adds_up[reload]",
           ("        pynvml.NVML_ERROR_UNINITIALIZED,\n", "")),
    remove("an energy counter may start again", "account/device.py", "test_no_counter_falls[reload]",
           ("return step if 0 <= step <= ", "return step if step <= ")),
    remove("the old library is unloaded", "sense/nvml/driver.py", IN_PLACE,
           ("    _ctypes.dlclose(library._handle)\n", "")),
    remove("a fresh process takes over", "agent/daemon.py", FRESH,
           ("if cycle.needs_fresh_process and ", "if False and ")),
    remove("it inherits the socket", "agent/daemon.py", FRESH, ("_inherited_listener() or bind(", "bind(")),
    remove("impossible utilisation is garbage", "sense/track.py", "test_no_gpu_is_shown_as_more_than_busy[garbage]",
           ("if 0 <= percent <= 100 and since", "if since")),
    remove("samples of the future are garbage", "sense/track.py", f"{OTHERS_LOSE_NOTHING}[garbage]",
           (":= clock.to_boottime(driver_us)) <= now + _AHEAD", ":= clock.to_boottime(driver_us))")),
    remove("the clock is not taken from garbage", "sense/track.py", f"{OTHERS_LOSE_NOTHING}[garbage]",
           ("max(stamp for stamp in stamps if abs(stamp - middle) / MICROS <= _BULK)", "max(stamps)")),
    remove("impossible SM use is garbage", "sense/track.py", f"{SHARED_FAIRLY}[garbage]",
           ("percent <= 100 and since_us", "since_us")),
    remove("process 0 is garbage", "sense/nvml/card.py", f"{SHARED_FAIRLY}[garbage]",
           (" for pid, us, sm_percent in samples if 0 < pid <= HIGHEST_PID]", " for pid, us, sm_percent in samples]")),
    remove("impossible processes are garbage", "sense/nvml/processes.py",
           "test_nvml.py::test_impossible_pids_and_sizes_are_left_out", ("if 0 < pid <= HIGHEST_PID:", "if True:")),
    remove("idleness outlives the agent", "agent/judging.py",
           "test_judging.py::test_idleness_of_many_hours_goes_on", ("            self._restore(power_limits)\n", "")),
    remove("a past that comes back is not of the minute", "agent/judging.py",
           "test_judging.py::test_while_no_agent_is_there_the_clock_stands_still",
           ("        self._base.runs.update(past)\n", "")),
    remove("a past that cannot be read is added later", "agent/record.py",
           "test_cycle.py::test_a_past_that_cannot_be_read_yet_is_added_later",
           ("            self._recall_past(unix)\n            self._store.commit", "            self._store.commit")),
    remove("a disk that refuses is no end", "state/store.py",
           "test_state.py::test_a_disk_that_refuses_loses_nothing_once_it_takes_again",
           ("        raise DiskRefused(f\"{what}: {error}\") from error\n", "        raise\n")),
    remove("a damaged file is set aside", "state/store.py", "test_state.py::test_a_damaged_file_is_set_aside_and_kept",
           ("                self.set_aside = set_aside(path, unix=unix)\n", "                path.unlink()\n")),
    remove("SM use of other times is garbage", "sense/track.py", f"{SHARED_FAIRLY}[garbage]",
           (" and since_us < us <= latest_us]", "]")),
    remove("an unknown holder is somebody", "account/device.py",
           "test_nobody_is_charged_for_a_process_that_nobody_saw[vanished]",
           ("hidden=len(known) < len(pids)", "hidden=False")),
    remove("a missing function is no failure", "sense/nvml/calls.py", OLD_DRIVER,
           ("        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,\n", "")),
    remove("without a ring there is the rate", "sense/gpu.py", OLD_DRIVER,
           ("None if rate is None else (Piece(now, rate),)", "None")),
    remove("without SM use all share equally", "account/split.py", "test_what_runs_are_charged_adds_up[old-driver]",
           ("dict.fromkeys(owners, stretch.busy / len(owners))", "dict.fromkeys(owners, 0.0)")),
    remove("without an energy counter there is power", "account/device.py", OLD_DRIVER,
           ("(watts if watts <= _HIGHEST_WATTS else 0.0) * elapsed", "0.0 * elapsed")),
    remove("a sensor that fails costs no other", "agent/sensors.py", NO_DRIVER,
           ("            problem = str(error)\n", "            raise\n")),
    remove("no driver is said in clear words", "sense/nvml/driver.py", NO_DRIVER,
           ("if error.value == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:", "if False:")),
    remove("and is said once", "agent/sensors.py", NO_DRIVER,
           ("if problem and problem != last.problem:", "if problem:")),
    remove("a state has one agent", "state/file.py", "test_a_second_agent_on_the_same_state_is_refused",
           ("        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)\n", "        pass\n")),
    remove("a set clock is followed", "sense/track.py", "test_a_set_clock_stops_nothing[clock]",
           ("if self._of_wall and abs(unix - boottime - self._offset) > _STEPPED:", "if False:")),
    remove("a driver's clock that moved is mapped anew", "sense/gpu.py", f"{OTHERS_LOSE_NOTHING}[stamps-behind]",
           ("self._driver_clock, self._use_until_us = None, 0", "pass")),
    remove("a request has a deadline", "export/server.py",
           "test_bounds.py::test_silent_clients_are_dropped_at_the_deadline",
           ("call_later(REQUEST_SECONDS, self.drop)", "call_later(3600.0, self.drop)")),
    remove("at the cap the idlest goes", "export/crowd.py",
           "test_bounds.py::test_at_the_cap_the_idlest_goes_and_never_the_scraper",
           ("next(iter(self._idle)).drop()", "client.drop()")),
    remove("a handshake has a deadline", "export/handshake.py",
           "test_bounds.py::test_silent_clients_are_dropped_at_the_deadline",
           ("ssl_handshake_timeout=HANDSHAKE_SECONDS", "ssl_handshake_timeout=3600.0")),
    remove("a password is hashed off the loop", "export/auth.py",
           "test_auth.py::test_one_is_hashed_at_a_time_and_never_on_the_loop",
           ("await asyncio.to_thread(bcrypt.checkpw, password[:_LONGEST_PASSWORD], against)",
            "bcrypt.checkpw(password[:_LONGEST_PASSWORD], against)")),
    remove("a right password is hashed once", "export/auth.py",
           "test_auth.py::test_a_right_answer_is_hashed_once_and_a_wrong_one_always",
           ("        self._right[user] = digest\n", "")),
    remove("a half-written certificate keeps the old one", "export/tls.py",
           "test_tls.py::test_a_half_written_pair_keeps_the_old_one_and_says_so_once",
           ("self._stamps = stamps  # so that a pair that is wrong is told once\n        try:\n",
            "self._stamps = stamps\n        self._context = load_context(self._settings)\n        try:\n")),
    remove("a reloaded driver takes no count back", "account/counts.py",
           "test_ledger.py::test_throttled_seconds_count_from_first_sight_and_go_on_when_the_driver_begins_anew",
           ("(step if step >= 0 else driver_total)", "max(0.0, step)")),
    remove("instances take their GPU's place", "agent/cycle.py",
           "test_rest_of_card.py::test_instances_made_anew_take_the_place_of_their_gpu",
           ("replaced = uuid not in current and info.pci in places", "replaced = False")),
    remove("who was busy before has no part in what follows", "account/activity.py",
           "test_activity.py::test_who_was_busy_while_the_device_told_nothing_has_no_part_in_what_follows",
           ("        self._device.pop(uuid, None)\n        self._owners.pop(uuid, None)\n", "        pass\n")),
    remove("a driver that says 0 of all is asked anew", "sense/nvml/card.py",
           "test_rest_of_card.py::test_a_driver_that_says_nobody_used_anything_is_asked_the_newer_way",
           ("if samples and not any(sm_percent for _, _, sm_percent in samples):", "if False:")),
    remove("what systemd did not take is said again", "agent/notify.py",
           "test_notify.py::test_what_was_not_taken_is_said_again",
           ("if not lines or self._send(lines):", "if not lines or self._send(lines) or True:")),
    remove("a question that hangs is ended", "sense/inquiry.py",
           "test_slurm.py::test_after_one_that_hung_the_next_is_asked",
           ("                _end(asked)\n                self._problem", "                self._problem")),
    remove("marks go with their boot", "state/store.py", "test_state.py::test_a_mark_holds_no_longer_than_its_boot",
           ("                self._db.execute(\"UPDATE device SET until = NULL\")\n", "                pass\n")),
    remove("a run is of its whole launch", "attribute/resolver.py",
           "test_runs_wandb.py::test_all_ranks_of_a_launch_are_its_run_and_a_stranger_of_the_same_shell_is_not",
           ("spread = _spread(judged)", "spread = {pid: one.claims for pid, one in judged.items()}")),
    remove("a run that began late is noticed", "agent/processes.py",
           "test_runs_wandb.py::test_a_run_has_its_gpu_within_five_seconds_of_init",
           ("            self._look_again()\n", "            pass\n")),
    remove("where one has two runs open none is spread", "attribute/resolver.py",
           "test_mixed.py::test_where_a_process_has_two_runs_open_none_is_spread",
           (" or scopes[pid] in doubtful or ", " or ")),
    remove("a job holds what it does not use", "agent/occupancy.py",
           "test_runs_slurm.py::test_what_a_job_holds_with_no_process_is_held_and_idle",
           ("if holders.listed or holders.hidden or owner is None:", "if True:")),
    remove("who runs on a GPU comes before whom it is reserved for", "agent/occupancy.py",
           "test_runs_slurm.py::test_what_a_job_holds_with_no_process_is_held_and_idle",
           ("if holders.listed or holders.hidden or owner is None:", "if owner is None:")),
    remove("what was registered outlives the agent", "agent/daemon.py",
           "test_runs_named.py::test_what_was_registered_outlives_the_agent",
           ("boot_id=read_boot_id())\n        file.restore()\n", "boot_id=read_boot_id())\n")),
    remove("a user speaks for own processes only", "agent/peer.py",
           "test_registry.py::test_a_user_speaks_for_own_processes_only",
           ("if peer.uid not in (0, uid):", "if False:")),
    remove("an ancestor of another user is not heard", "agent/registry.py",
           "test_registry.py::test_an_ancestor_of_another_user_is_not_heard_but_root_is",
           ("if entry is not None and entry.uid in (0, lineage.process.uid):", "if entry is not None:")),
    remove("of an environment only the allowed is kept", "attribute/traces.py",
           "test_traces.py::test_only_allowed_variables_are_kept",
           ("if equals and name in _ALLOWED_BYTES:", "if equals:")),
    remove("a run file of somebody else is not read", "attribute/watch.py",
           "test_traces.py::test_only_a_users_own_regular_file_is_read[another's]", (" or file.st_uid != owner:", ":")),
    remove("what users may call as they like proves nothing", "attribute/place.py",
           "test_place.py::test_a_path_is_read_from_the_outside_in",
           ("is_open = bool(place.user or place.container or place.pod)", "is_open = False")),
)  # fmt: skip

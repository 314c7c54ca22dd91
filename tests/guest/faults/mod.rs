// SPDX-License-Identifier: MIT OR Apache-2.0

//! Everything that the module can be refused is refused once, in each of several situations.
//!
//! The places where that can happen are read from the module's file ([`points`]). Probes find out
//! which of them a scenario passes, and how often; then it is run again for each time that it
//! passes one, and that time the kernel has no memory for what is called there ([`injector`]).

mod callees;
mod injector;
mod killer;
mod load;
mod points;
mod probes;
mod scenarios;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

use nix::{
    sys::{signal::Signal, wait::WaitStatus},
    unistd::getpgrp,
};
use nlcall_tests::{module, patience, process::Child, session};

use self::{
    callees::Need,
    injector::{Injector, Kind},
    killer::Killer,
    points::{Module, Point},
    probes::Probes,
    scenarios::{Scenario, Window, ALL, DIED, IN_A_DYING_PROCESS},
};
use crate::{
    harness::{note, scaled, traces, Test},
    reloaded::Reloaded,
};

pub const TESTS: &[Test] = &[
    Test::new("every_allocation_fails", every_allocation_fails).patience(HOUR),
    Test::new("killed_at_every_point", killed_at_every_point).patience(HOUR),
    Test::new("a_dying_process_lacks_memory", a_dying_process_lacks_memory).patience(HOUR),
];

/// When a sweep hangs.
const HOUR: Duration = Duration::from_secs(3600);

/// Points that cannot fail, and why not. One that does all the same, or is none any more, is an
/// error.
const CANNOT_FAIL: &[(&str, &str)] = &[
    ("<area::Area>::of -> <Vec<u8, KVmalloc>>::reserve #2", ROOM),
    ("<area::Area>::of -> <Vec<u8, KVmalloc>>::reserve #3", ROOM),
    (
        "<session::Session>::accept_for_workers -> <Vec<u32, Kmalloc>>::reserve #2",
        ROOM,
    ),
    ("nlcall_farewell -> __SCT__nlcall_switch", FAREWELL),
];

/// Points where nobody can be killed, and why not; likewise.
const CANNOT_KILL: &[(&str, &str)] = &[
    (
        "<Nlcall as kernel::module::Module>::init -> genl_register_family",
        LOADING,
    ),
    (
        "<classic::Registration>::new -> __netlink_kernel_create",
        LOADING,
    ),
    ("nlcall_find -> register_kprobe", LOADING),
    ("nlcall_init -> alloc_workqueue_noprof", LOADING),
    ("nlcall_init -> alloc_workqueue_noprof #2", LOADING),
    ("nlcall_init -> tracepoint_probe_register", LOADING),
    ("nlcall_init -> tracepoint_probe_register #2", LOADING),
    ("nlcall_farewell -> __SCT__nlcall_switch", FAREWELL),
];

/// Reasons.
const ROOM: &str = "the vector was made with room for all that it is to hold";
const FAREWELL: &str = "the call ends the thread: it needs nothing, and comes back to no probe";
const LOADING: &str = "only who loads the module passes it, before there can be probes in it";

/// What makes the thread of a worker.
const WORKER: &str = "vhost_task_create";

/// The same parameters with the classic front end.
fn with_classic(parameters: &str) -> String {
    parameters.replace("classic=0", "classic=1")
}

/// The module's code, as it is loaded.
struct Loaded {
    module: Module,
    base: u64,
}

impl Loaded {
    fn new(module: Module) -> Self {
        let base = fs::read_to_string("/sys/module/nlcall/sections/.text").expect("its address");
        let base = base.trim().trim_start_matches("0x");
        let base = u64::from_str_radix(base, 16).expect("an address");
        Self { module, base }
    }

    fn probes(&self) -> Probes {
        Probes::at(&self.module.points, self.base)
    }

    /// Which points each scenario passes while its window is open, by their numbers.
    fn passed(&self, probes: &Probes, scenarios: &[Scenario]) -> Vec<Passed> {
        const FILES: [&str; 2] = ["before", "after"];

        probes.count(true);
        let passed = scenarios.iter().map(|scenario| {
            let note = |open: bool| {
                let file = FILES[usize::from(!open)];
                fs::write(file, probes.profile()).expect("a file");
            };
            note(false);
            let (status, ()) = run(*scenario, &note, || {});
            assert!(is_good(status), "{}: {status:?}", scenario.name);
            let [before, after] = FILES.map(|file| fs::read_to_string(file).expect("a file"));
            // Where a window ends with its process, nobody has looked.
            let after = if probes::between(&before, &after).is_empty() {
                probes.profile()
            } else {
                after
            };
            (*scenario, probes::between(&before, &after))
        });
        let passed = passed.collect();
        probes.count(false);
        passed
    }
}

/// A scenario, and how often it passes each point.
type Passed = (Scenario, BTreeMap<usize, usize>);

/// Every scenario with each point that it passes; in the short run, each point in a few of them.
fn plan(passed: &[Passed]) -> Vec<(Scenario, usize)> {
    let most = scaled(3, usize::MAX);
    let mut planned = BTreeMap::<usize, usize>::new();
    let mut plan = Vec::new();
    for (scenario, points) in passed {
        for number in points.keys() {
            let times = planned.entry(*number).or_default();
            if *times < most {
                *times += 1;
                plan.push((*scenario, *number));
            }
        }
    }
    plan
}

fn module_of_tests() -> Module {
    Module::of(&module::file().expect("the module's file"))
}

/// Runs a scenario in a process of its own, does something at its end, and waits until nothing of
/// it is left. Says how the process ended.
fn run<R>(
    scenario: Scenario,
    window: &dyn Fn(bool),
    at_its_end: impl FnOnce() -> R,
) -> (WaitStatus, R) {
    let references = module::references();
    let mut child = Child::fork(|_| (scenario.run)(&Window(window)));
    let status = child.wait_patiently().unwrap_or_else(|| {
        let traces = traces::of_group(getpgrp());
        panic!("{} hangs:\n{traces}", scenario.name)
    });
    let result = at_its_end();
    patience::until("no session is left", || session::all().is_empty());
    patience::until("the module is free", || module::references() <= references);
    (status, result)
}

fn is_good(status: WaitStatus) -> bool {
    matches!(status, WaitStatus::Exited(_, 0))
}

/// What may be refused to a need; what is not there by itself need not be. Objects are what the
/// module asks for; behind them may be pages, of which there mostly are some left.
fn kinds(need: Need) -> &'static [Kind] {
    match need {
        Need::Memory => scaled(&[Kind::Slab][..], &[Kind::Slab, Kind::Pages]),
        Need::Copy => &[Kind::Copies],
        Need::Access => &[],
    }
}

fn every_allocation_fails() {
    // How many refusals of one scenario at one point are tried, one in each run.
    let most = scaled(1, 64);

    let injector = Injector::new();
    let module = module_of_tests();
    let (_reloaded, mut failed) =
        Reloaded::by(|parameters| load::fail_each(&injector, &module, &with_classic(parameters)));
    let loaded = Loaded::new(module);
    let points = &loaded.module.points;
    let passed = loaded.passed(&loaded.probes(), ALL);
    let mut wrong = Vec::new();
    for (scenario, number) in plan(&passed) {
        let point = &points[number];
        if point.need == Need::Access {
            // Where it is passed, there was nothing.
            *failed.entry(number).or_default() += 1;
        }
        for kind in kinds(point.need) {
            for nth in 1..=most {
                println!("{}, {kind:?}, {nth}: {point}", scenario.name);
                let window = |open| {
                    if open {
                        injector.arm(*kind, loaded.base, point, nth);
                    } else {
                        injector.disarm(*kind);
                    }
                };
                // Where the window ends with its process, nobody has closed it.
                let (status, was_refused) = run(scenario, &window, || injector.disarm(*kind));
                if !is_good(status) {
                    println!("{status:?}");
                    wrong.push(format!("{}, {kind:?}, {nth}: {point}", scenario.name));
                }
                if !was_refused {
                    break;
                }
                *failed.entry(number).or_default() += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "what went wrong, as above: {wrong:#?}");
    assert_complete(&loaded.module, &failed, CANNOT_FAIL);
    let faults: usize = failed.values().sum();
    note(format_args!(
        "{} of the {} points that can fail did, {faults} times in all",
        failed.len(),
        points.len() - CANNOT_FAIL.len()
    ));
}

/// Checks that something was done at every point, by number, but for those that are listed.
fn assert_complete(module: &Module, done: &BTreeMap<usize, usize>, except: &[(&str, &str)]) {
    let names: Vec<_> = module.points.iter().map(ToString::to_string).collect();
    let missed: Vec<_> = module
        .points
        .iter()
        .enumerate()
        .filter(|(number, point)| !done.contains_key(number) && !is_listed(except, point))
        .map(|(number, _)| &names[number])
        .collect();
    let listed_in_vain: Vec<_> = except
        .iter()
        .filter(|(name, _)| {
            let number = names.iter().position(|it| it == name);
            number.is_none_or(|number| done.contains_key(&number))
        })
        .collect();
    assert!(
        missed.is_empty() && listed_in_vain.is_empty(),
        "of {} points these were not reached: {missed:#?}; these are no exceptions: \
         {listed_in_vain:#?}",
        names.len()
    );
}

/// Whether a point is among the exceptions.
fn is_listed(exceptions: &[(&str, &str)], point: &Point) -> bool {
    let name = point.to_string();
    exceptions.iter().any(|(listed, _)| *listed == name)
}

fn killed_at_every_point() {
    // What the kernel's work queue does this time, where nobody can be killed, a worker does
    // another time.
    const ATTEMPTS: usize = 20;

    // The points are those of the module for a kernel that checks.
    let _injector = Injector::new();
    let _reloaded = Reloaded::with(&with_classic(&module::parameters()));
    let loaded = Loaded::new(module_of_tests());
    let mut killed = BTreeMap::<usize, usize>::new();
    let probes = loaded.probes();
    let plan = plan(&loaded.passed(&probes, ALL));
    for attempt in 0..ATTEMPTS {
        for (scenario, number) in &plan {
            let point = &loaded.module.points[*number];
            if attempt > 0 && (killed.contains_key(number) || is_listed(CANNOT_KILL, point)) {
                continue;
            }
            println!("{}: {point}", scenario.name);
            let killer = RefCell::new(None);
            let window = |open: bool| {
                *killer.borrow_mut() = open.then(|| Killer::at(&probes.event(*number)));
            };
            let (status, ()) = run(*scenario, &window, || {});
            if matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _)) {
                *killed.entry(*number).or_default() += 1;
            }
        }
    }
    drop(probes);
    assert_complete(&loaded.module, &killed, CANNOT_KILL);
    note(format_args!(
        "processes were killed at {} of the {} points where they can be, {} in all",
        killed.len(),
        loaded.module.points.len() - CANNOT_KILL.len(),
        killed.values().sum::<usize>()
    ));
}

/// The kernel refuses memory to a thread that is being killed. The calls of its process must not say
/// that there was none: they end as those of any process that ends.
fn a_dying_process_lacks_memory() {
    let injector = Injector::new();
    let loaded = Loaded::new(module_of_tests());
    let points = &loaded.module.points;
    let probes = loaded.probes();
    let mut lacked = BTreeSet::new();
    for (scenario, number) in plan(&loaded.passed(&probes, &[IN_A_DYING_PROCESS])) {
        let point = &points[number];
        for kind in kinds(point.need) {
            println!("{kind:?}: {point}");
            let killer = RefCell::new(None);
            let window = |open: bool| {
                if open {
                    injector.arm(*kind, loaded.base, point, 1);
                } else {
                    injector.disarm(*kind);
                }
                *killer.borrow_mut() = open.then(|| Killer::at(&probes.event(number)));
            };
            let (status, was_refused) = run(scenario, &window, || injector.disarm(*kind));
            let was_killed = fs::remove_file(DIED).is_ok();
            let sender_was_killed = matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _));
            assert!(is_good(status) || sender_was_killed, "{status:?}");
            if was_refused && was_killed {
                lacked.insert(number);
            }
        }
    }
    drop(probes);
    assert!(
        lacked.iter().any(|number| points[*number].callee == WORKER),
        "none was killed where it made a worker"
    );
    note(format_args!(
        "a process was killed and lacked memory, or a copy, at each of {} points",
        lacked.len()
    ));
}

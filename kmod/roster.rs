// SPDX-License-Identifier: GPL-2.0-only

//! The workers of a session: which there are and what each is doing.
//!
//! Whatever happens once per call costs the same for one worker and for ten thousand: a worker is
//! found by the number of its place, the idle ones are a list through their places, and what the
//! scheduling decisions look at is counted.
//!
//! ```text
//! reserve, enter -> Fresh -> work -> Working -> rest -> Idle
//!                                      ^ ^               | |
//!                                      | +----- wake ----+ |
//!                                      +----- Excused <----+ excuse
//! any of these -> leave -> Leaving -> reap -> Stopping -> remove
//! ```

/// Number of a place, and of the worker that has it.
pub type Id = u32;

/// No place.
const NIL: Id = Id::MAX;

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The place is unused.
    Free,
    /// The worker is being made, or has not yet come for its first call.
    Fresh,
    /// It has a call or looks for one.
    Working,
    /// It has none and sleeps, or is about to.
    Idle,
    /// It rested for so long that it was woken to leave, unless there is a call.
    Excused,
    /// It will take no call any more, and waits for the reaper.
    Leaving,
    /// The reaper waits for the end of its thread.
    Stopping,
}

/// A place for a worker. `W` is what the session keeps of it.
pub struct Place<W> {
    worker: Option<W>,
    prev: Id,
    next: Id,
    state: State,
    /// When it went to rest, in the caller's clock, which may wrap around.
    since: u32,
    /// Its thread was made, and its maker is done with it.
    started: bool,
}

impl<W> Default for Place<W> {
    fn default() -> Self {
        Self {
            worker: None,
            prev: NIL,
            next: NIL,
            state: State::Free,
            since: 0,
            started: false,
        }
    }
}

/// Memory for places. Grows outside of this file; numbers stay valid when it does.
pub trait Places<W> {
    /// How many places there are.
    fn count(&self) -> u32;
    /// The place of this number, where there is one.
    fn place(&self, id: Id) -> Option<&Place<W>>;
    /// The place of this number, to change it.
    fn place_mut(&mut self, id: Id) -> Option<&mut Place<W>>;
}

/// The workers of one session.
///
/// # Invariants
///
/// - `idle_head` and `idle_tail` are the ends of a doubly linked list of exactly the places in the
///   state `Idle`, the one that rests for the shortest time first.
/// - `leaving` begins a list of exactly those that are `Leaving` and started, `free` one of those
///   that are `Free`.
/// - Each counter counts the places in its states.
pub struct Roster<W, P> {
    places: P,
    free: Id,
    idle_head: Id,
    idle_tail: Id,
    leaving: Id,
    /// Places that are not `Free`.
    workers: u32,
    /// Places that are `Fresh`.
    fresh: u32,
    /// Places that are `Idle`.
    idle: u32,
    /// Places that are `Leaving` or `Stopping`.
    gone: u32,
    _worker: core::marker::PhantomData<W>,
}

impl<W, P: Places<W>> Roster<W, P> {
    /// Nobody. All of `places` are unused.
    pub fn new(places: P) -> Self {
        let mut roster = Self {
            places,
            free: NIL,
            idle_head: NIL,
            idle_tail: NIL,
            leaving: NIL,
            workers: 0,
            fresh: 0,
            idle: 0,
            gone: 0,
            _worker: core::marker::PhantomData,
        };
        roster.adopt(0);
        roster
    }

    /// Takes the places from number `from` on into use, the lowest first.
    fn adopt(&mut self, from: u32) {
        for id in (from..self.places.count()).rev() {
            self.set_free(id);
        }
    }

    /// Lets `add` append unused places to the memory, then takes them into use.
    pub fn grow<R>(&mut self, add: impl FnOnce(&mut P) -> R) -> R {
        let from = self.places.count();
        let result = add(&mut self.places);
        self.adopt(from);
        result
    }

    /// The memory.
    pub fn places(&self) -> &P {
        &self.places
    }

    /// Takes the memory out, to be freed, where nobody is left.
    pub fn vacate(&mut self) -> Option<P>
    where
        P: Default,
    {
        if self.workers != 0 {
            return None;
        }
        let places = core::mem::take(&mut self.places);
        *self = Self::new(P::default());
        Some(places)
    }

    /// Whether there is no worker, not even one whose thread is to be ended.
    pub fn is_empty(&self) -> bool {
        self.workers == 0
    }

    /// Workers that take calls, those that are being made included.
    pub fn workers(&self) -> u32 {
        self.workers - self.gone
    }

    /// Workers that have not yet come for their first call.
    pub fn fresh(&self) -> u32 {
        self.fresh
    }

    /// Workers that rest.
    pub fn idle(&self) -> u32 {
        self.idle
    }

    /// Whether there is a place for one more.
    pub fn has_room(&self) -> bool {
        self.free != NIL
    }

    /// Takes a place for a worker that is going to be made.
    pub fn reserve(&mut self) -> Option<Id> {
        let id = self.free;
        let place = self.places.place_mut(id)?;
        self.free = place.next;
        place.state = State::Fresh;
        place.started = false;
        self.workers += 1;
        self.fresh += 1;
        Some(id)
    }

    /// Enters the worker that was made for its place.
    pub fn enter(&mut self, id: Id, worker: W) {
        if let Some(place) = self.places.place_mut(id) {
            place.worker = Some(worker);
        }
    }

    /// The thread of the worker was made and its maker is done with it: the reaper may have it.
    pub fn started(&mut self, id: Id) {
        let Some(place) = self.places.place_mut(id) else {
            return;
        };
        place.started = true;
        if place.state == State::Leaving {
            place.next = self.leaving;
            self.leaving = id;
        }
    }

    /// The worker of this number.
    pub fn get(&self, id: Id) -> Option<&W> {
        self.places.place(id)?.worker.as_ref()
    }

    /// The worker of this number, to change it, and what it is doing.
    pub fn get_mut(&mut self, id: Id) -> Option<(State, &mut W)> {
        let place = self.places.place_mut(id)?;
        Some((place.state, place.worker.as_mut()?))
    }

    fn state(&self, id: Id) -> State {
        self.places
            .place(id)
            .map_or(State::Free, |place| place.state)
    }

    /// The worker has no call and goes to rest.
    pub fn rest(&mut self, id: Id, now: u32) {
        let head = self.idle_head;
        let Some(place) = self.places.place_mut(id) else {
            return;
        };
        match place.state {
            State::Working | State::Excused => {}
            State::Fresh => self.fresh -= 1,
            State::Free | State::Idle | State::Leaving | State::Stopping => return,
        }
        place.state = State::Idle;
        place.since = now;
        place.prev = NIL;
        place.next = head;
        match self.places.place_mut(head) {
            Some(head) => head.prev = id,
            None => self.idle_tail = id,
        }
        self.idle_head = id;
        self.idle += 1;
    }

    /// The worker goes to work.
    pub fn work(&mut self, id: Id) {
        match self.state(id) {
            State::Fresh => self.fresh -= 1,
            State::Idle => self.unlink(id),
            State::Excused => {}
            State::Free | State::Working | State::Leaving | State::Stopping => return,
        }
        self.set(id, State::Working);
    }

    /// Takes the worker that rested for the shortest time, whose caches are warm, to be woken.
    pub fn wake(&mut self) -> Option<&mut W> {
        let id = self.idle_head;
        self.work(id);
        Some(self.get_mut(id)?.1)
    }

    /// Since when the worker rests that has rested for the longest time.
    pub fn rests_since(&self) -> Option<u32> {
        self.places.place(self.idle_tail).map(|place| place.since)
    }

    /// Takes the worker that has rested for the longest time, to be woken, where that is at least
    /// `age`: it is to leave, unless there is a call for it.
    pub fn excuse(&mut self, now: u32, age: u32) -> Option<&mut W> {
        if now.wrapping_sub(self.rests_since()?) < age {
            return None;
        }
        let id = self.idle_tail;
        self.unlink(id);
        self.set(id, State::Excused);
        Some(self.get_mut(id)?.1)
    }

    /// The worker takes no call any more.
    pub fn leave(&mut self, id: Id) {
        match self.state(id) {
            State::Working | State::Excused => {}
            State::Fresh => self.fresh -= 1,
            State::Idle => self.unlink(id),
            State::Free | State::Leaving | State::Stopping => return,
        }
        let leaving = self.leaving;
        if let Some(place) = self.places.place_mut(id) {
            place.state = State::Leaving;
            if place.started {
                place.next = leaving;
                self.leaving = id;
            }
        }
        self.gone += 1;
    }

    /// Takes the next worker whose thread is to be ended. Its place stays taken until
    /// [`remove`](Self::remove), so that its number means nobody else before its thread is gone.
    pub fn reap(&mut self) -> Option<(Id, &mut W)> {
        let id = self.leaving;
        let place = self.places.place_mut(id)?;
        self.leaving = place.next;
        place.state = State::Stopping;
        Some((id, place.worker.as_mut()?))
    }

    /// Gives back the place of a worker whose thread has ended or was never made.
    pub fn remove(&mut self, id: Id) -> Option<W> {
        let place = self.places.place_mut(id)?;
        match place.state {
            State::Stopping => self.gone -= 1,
            State::Fresh => self.fresh -= 1,
            State::Free | State::Working | State::Idle | State::Excused | State::Leaving => {
                return None;
            }
        }
        let worker = place.worker.take();
        self.workers -= 1;
        self.set_free(id);
        worker
    }

    /// Those that take calls among `most` places from number `from` on, and whether each is idle.
    pub fn active(&self, from: Id, most: u32) -> impl Iterator<Item = (&W, bool)> {
        (from..from.saturating_add(most).min(self.places.count())).filter_map(|id| {
            match self.state(id) {
                State::Fresh | State::Working | State::Excused => Some((self.get(id)?, false)),
                State::Idle => Some((self.get(id)?, true)),
                State::Free | State::Leaving | State::Stopping => None,
            }
        })
    }

    fn set(&mut self, id: Id, state: State) {
        if let Some(place) = self.places.place_mut(id) {
            place.state = state;
        }
    }

    fn set_free(&mut self, id: Id) {
        let next = self.free;
        if let Some(place) = self.places.place_mut(id) {
            place.state = State::Free;
            place.next = next;
            self.free = id;
        }
    }

    /// Takes an idle worker out of the list.
    fn unlink(&mut self, id: Id) {
        let Some((prev, next)) = self.places.place(id).map(|place| (place.prev, place.next)) else {
            return;
        };
        match self.places.place_mut(prev) {
            Some(prev) => prev.next = next,
            None => self.idle_head = next,
        }
        match self.places.place_mut(next) {
            Some(next) => next.prev = prev,
            None => self.idle_tail = prev,
        }
        self.idle -= 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl<W> Places<W> for Vec<Place<W>> {
        fn count(&self) -> u32 {
            self.len() as u32
        }

        fn place(&self, id: Id) -> Option<&Place<W>> {
            self.get(id as usize)
        }

        fn place_mut(&mut self, id: Id) -> Option<&mut Place<W>> {
            self.get_mut(id as usize)
        }
    }

    type Crew = Roster<u64, Vec<Place<u64>>>;

    fn more(count: usize) -> impl Iterator<Item = Place<u64>> {
        (0..count).map(|_| Place::default())
    }

    /// A worker of the model.
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Model {
        name: u64,
        state: State,
        started: bool,
        since: u32,
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Grow,
        Reserve,
        Started(usize),
        Failed(usize),
        Rest(usize),
        Wake,
        Work(usize),
        Excuse(u32),
        Leave(usize),
        Reap,
        Stopped(usize),
        Vacate,
    }

    fn step() -> impl Strategy<Value = Step> {
        let any = any::<usize>;
        prop_oneof![
            1 => Just(Step::Grow),
            4 => Just(Step::Reserve),
            3 => any().prop_map(Step::Started),
            1 => any().prop_map(Step::Failed),
            4 => any().prop_map(Step::Rest),
            3 => Just(Step::Wake),
            4 => any().prop_map(Step::Work),
            2 => (0_u32..20).prop_map(Step::Excuse),
            2 => any().prop_map(Step::Leave),
            2 => Just(Step::Reap),
            2 => any().prop_map(Step::Stopped),
            1 => Just(Step::Vacate),
        ]
    }

    proptest! {
        /// Every number keeps meaning the same worker until that is gone, the idle ones come back
        /// last first and are excused first first, each that leaves is reaped once, and the
        /// counters are right.
        #[test]
        fn nobody_is_lost_or_mistaken(
            steps in prop::collection::vec(step(), 0..300),
            begin in prop_oneof![Just(0_u32), Just(u32::MAX - 100)],
        ) {
            let mut crew = Crew::new(more(2).collect());
            let mut model: std::collections::BTreeMap<Id, Model> = Default::default();
            // The last to rest at the end.
            let mut idle: Vec<Id> = Vec::new();
            let mut name = 0;
            let mut now = begin;
            for step in steps {
                now = now.wrapping_add(1);
                let pick = |at: usize, which: &dyn Fn(&Model) -> bool| {
                    let ids: Vec<Id> = model
                        .iter()
                        .filter(|(_, worker)| which(worker))
                        .map(|(id, _)| *id)
                        .collect();
                    (!ids.is_empty()).then(|| ids[at % ids.len()])
                };
                let comes = |worker: &Model| {
                    matches!(worker.state, State::Fresh | State::Working | State::Excused)
                };
                match step {
                    Step::Grow => crew.grow(|places| places.extend(more(3))),
                    Step::Reserve => {
                        let room = crew.has_room();
                        let id = crew.reserve();
                        prop_assert_eq!(id.is_some(), room);
                        if let Some(id) = id {
                            name += 1;
                            prop_assert_eq!(crew.get(id), None);
                            crew.enter(id, name);
                            let (state, started) = (State::Fresh, false);
                            let worker = Model { name, state, started, since: 0 };
                            prop_assert_eq!(model.insert(id, worker), None, "a place taken twice");
                        }
                    }
                    Step::Started(at) => {
                        if let Some(id) = pick(at, &|worker| !worker.started) {
                            crew.started(id);
                            model.get_mut(&id).unwrap().started = true;
                        }
                    }
                    Step::Failed(at) => {
                        let failed = |worker: &Model| worker.state == State::Fresh && !worker.started;
                        if let Some(id) = pick(at, &failed) {
                            prop_assert_eq!(crew.remove(id), Some(model.remove(&id).unwrap().name));
                        }
                    }
                    Step::Rest(at) => {
                        if let Some(id) = pick(at, &comes) {
                            crew.rest(id, now);
                            let worker = model.get_mut(&id).unwrap();
                            (worker.state, worker.since) = (State::Idle, now);
                            idle.push(id);
                        }
                    }
                    Step::Wake => {
                        let name = crew.wake().copied();
                        let woken = idle.pop();
                        prop_assert_eq!(name, woken.map(|id| model[&id].name));
                        if let Some(id) = woken {
                            model.get_mut(&id).unwrap().state = State::Working;
                        }
                    }
                    Step::Work(at) => {
                        let works = |worker: &Model| comes(worker) || worker.state == State::Idle;
                        if let Some(id) = pick(at, &works) {
                            crew.work(id);
                            idle.retain(|other| *other != id);
                            model.get_mut(&id).unwrap().state = State::Working;
                        }
                    }
                    Step::Excuse(age) => {
                        let excused = idle
                            .first()
                            .copied()
                            .filter(|id| now.wrapping_sub(model[id].since) >= age);
                        let name = crew.excuse(now, age).copied();
                        prop_assert_eq!(name, excused.map(|id| model[&id].name));
                        if let Some(id) = excused {
                            idle.remove(0);
                            model.get_mut(&id).unwrap().state = State::Excused;
                        }
                    }
                    Step::Leave(at) => {
                        if let Some(id) = pick(at, &|_| true) {
                            crew.leave(id);
                            idle.retain(|other| *other != id);
                            let worker = model.get_mut(&id).unwrap();
                            if worker.state != State::Stopping {
                                worker.state = State::Leaving;
                            }
                        }
                    }
                    Step::Reap => {
                        let reaped = crew.reap().map(|(id, worker)| (id, *worker));
                        let waits = pick(0, &|worker| {
                            worker.state == State::Leaving && worker.started
                        });
                        prop_assert_eq!(reaped.is_some(), waits.is_some());
                        if let Some((id, name)) = reaped {
                            let worker = model.get_mut(&id).unwrap();
                            prop_assert_eq!((worker.state, worker.name), (State::Leaving, name));
                            prop_assert!(worker.started);
                            worker.state = State::Stopping;
                        }
                    }
                    Step::Stopped(at) => {
                        if let Some(id) = pick(at, &|worker| worker.state == State::Stopping) {
                            prop_assert_eq!(crew.remove(id), Some(model.remove(&id).unwrap().name));
                        }
                    }
                    Step::Vacate => {
                        let places = crew.vacate();
                        prop_assert_eq!(places.is_some(), model.is_empty());
                        if places.is_some() {
                            prop_assert!(!crew.has_room());
                        }
                    }
                }
                let count = |which: &dyn Fn(State) -> bool| {
                    model.values().filter(|worker| which(worker.state)).count() as u32
                };
                let gone = |state| matches!(state, State::Leaving | State::Stopping);
                prop_assert_eq!(crew.workers(), count(&|state| !gone(state)));
                prop_assert_eq!(crew.fresh(), count(&|state| state == State::Fresh));
                prop_assert_eq!(crew.idle(), idle.len() as u32);
                prop_assert_eq!(crew.rests_since(), idle.first().map(|id| model[id].since));
                for (id, worker) in &model {
                    let found = crew.get_mut(*id).map(|(state, worker)| (state, *worker));
                    prop_assert_eq!(found, Some((worker.state, worker.name)));
                }
                let active: Vec<(u64, bool)> = crew
                    .active(0, u32::MAX)
                    .map(|(worker, idle)| (*worker, idle))
                    .collect();
                let expected: Vec<(u64, bool)> = model
                    .values()
                    .filter(|worker| !gone(worker.state))
                    .map(|worker| (worker.name, worker.state == State::Idle))
                    .collect();
                prop_assert_eq!(active, expected);
            }
        }
    }

    #[test]
    fn who_leaves_before_its_maker_is_done_waits_for_it() {
        let mut crew = Crew::new(more(1).collect());
        let id = crew.reserve().unwrap();
        crew.enter(id, 7);
        crew.leave(id);
        assert!(crew.reap().is_none());
        crew.started(id);
        assert_eq!(crew.reap().map(|(id, worker)| (id, *worker)), Some((id, 7)));
        assert!(crew.reap().is_none());
        // Its number is not given to another before its thread is gone.
        assert!(crew.reserve().is_none());
        assert_eq!(crew.remove(id), Some(7));
        assert_eq!(crew.reserve(), Some(id));
    }
}

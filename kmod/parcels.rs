// SPDX-License-Identifier: GPL-2.0-only

//! What the calls of a message have in common beyond their end: the parcels of a session.
//!
//! A parcel is entered when its message is accepted, and comes out twice: when the last call of the
//! message has ended, and when the last completion has gone. Both happen under a lock, where
//! nothing can be given back that takes time, so it is put on a list, which
//! [`take`](Parcels::take) empties.

use core::marker::PhantomData;

/// Number of a parcel; [`NONE`]: no parcel.
pub type Number = u16;

/// No parcel.
pub const NONE: Number = 0;

/// What a [`Place`] is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    /// Calls have not ended.
    Open,
    /// All of them have.
    Ended,
}

/// Where a parcel is.
pub struct Place<P> {
    parcel: Option<P>,
    state: State,
    /// Calls that have not ended; the message itself, as long as it comes in.
    unended: u32,
    /// Calls whose completion has not gone, likewise.
    held: u32,
    /// Whether it is in the list of those that come out.
    listed: bool,
    /// The next place of the list that it is in.
    next: Number,
}

impl<P> Default for Place<P> {
    fn default() -> Self {
        Self {
            parcel: None,
            state: State::Free,
            unended: 0,
            held: 0,
            listed: false,
            next: NONE,
        }
    }
}

/// Memory for places. Grows outside of this file; numbers stay valid when it does.
pub trait Places<P> {
    /// How many there are.
    fn count(&self) -> usize;
    /// The place of this number, where there is one.
    fn place(&self, at: usize) -> Option<&Place<P>>;
    /// The same, to change it.
    fn place_mut(&mut self, at: usize) -> Option<&mut Place<P>>;
}

/// What comes out.
#[derive(Debug, PartialEq, Eq)]
pub enum Out<P> {
    /// The last call of this one has ended.
    Ended(P),
    /// And its last completion has gone. What was `Ended` before comes back here.
    Gone(P),
}

/// The parcels of a session.
///
/// # Invariants
///
/// A place is in exactly one state: `Free` and in the list `free`, or with a parcel. It is in the
/// list `over` where `listed`.
pub struct Parcels<P, M> {
    /// Place 0 is never used.
    places: M,
    free: Number,
    over: Number,
    /// Places that [`adopt`](Self::adopt) has seen.
    known: usize,
    _parcel: PhantomData<P>,
}

impl<P: Clone, M: Places<P>> Parcels<P, M> {
    /// None; all places are free.
    pub fn new(places: M) -> Self {
        let mut parcels = Self {
            places,
            free: NONE,
            over: NONE,
            known: 0,
            _parcel: PhantomData,
        };
        parcels.adopt();
        parcels
    }

    /// The memory.
    pub fn places(&self) -> &M {
        &self.places
    }

    /// Lets `add` append places, then takes them into use.
    pub fn grow<R>(&mut self, add: impl FnOnce(&mut M) -> R) -> R {
        let result = add(&mut self.places);
        self.adopt();
        result
    }

    fn adopt(&mut self) {
        let most = self.places.count().min(usize::from(Number::MAX) + 1);
        for at in self.known.max(1)..most {
            self.set_free(at as Number);
        }
        self.known = most;
    }

    fn set_free(&mut self, number: Number) {
        let next = self.free;
        if let Some(place) = self.places.place_mut(usize::from(number)) {
            place.state = State::Free;
            place.next = next;
            self.free = number;
        }
    }

    /// Whether there is room for one more.
    pub fn has_room(&self) -> bool {
        self.free != NONE
    }

    /// Enters a parcel, which the caller [`holds`](Self::hold). `None`: there is no room.
    pub fn enter(&mut self, parcel: P) -> Option<Number> {
        let number = self.free;
        if number == NONE {
            return None;
        }
        let place = self.places.place_mut(usize::from(number))?;
        self.free = place.next;
        *place = Place {
            parcel: Some(parcel),
            state: State::Open,
            unended: 1,
            held: 1,
            listed: false,
            next: NONE,
        };
        Some(number)
    }

    /// A parcel that has not gone.
    pub fn get(&self, number: Number) -> Option<&P> {
        self.places.place(usize::from(number))?.parcel.as_ref()
    }

    /// A call more has this parcel.
    pub fn hold(&mut self, number: Number) {
        if let Some(place) = self.used(number) {
            place.unended += 1;
            place.held += 1;
        }
    }

    /// A call with this parcel has ended.
    pub fn ended(&mut self, number: Number) {
        let Some(place) = self.used(number) else {
            return;
        };
        place.unended -= 1;
        if place.unended == 0 {
            self.list(number);
        }
    }

    /// The completion of a call with this parcel has gone, after the call had ended.
    pub fn gone(&mut self, number: Number) {
        let Some(place) = self.used(number) else {
            return;
        };
        place.held -= 1;
        if place.held == 0 {
            self.list(number);
        }
    }

    fn used(&mut self, number: Number) -> Option<&mut Place<P>> {
        if number == NONE {
            return None;
        }
        let place = self.places.place_mut(usize::from(number))?;
        (place.state != State::Free).then_some(place)
    }

    fn list(&mut self, number: Number) {
        let next = self.over;
        let Some(place) = self.used(number) else {
            return;
        };
        if !place.listed {
            place.listed = true;
            place.next = next;
            self.over = number;
        }
    }

    /// Whether something comes out.
    #[inline]
    pub fn has_over(&self) -> bool {
        self.over != NONE
    }

    /// Takes one out.
    pub fn take(&mut self) -> Option<Out<P>> {
        let number = self.over;
        let place = self.places.place_mut(usize::from(number))?;
        if number == NONE {
            return None;
        }
        place.listed = false;
        self.over = place.next;
        place.next = NONE;
        if place.state == State::Open {
            place.state = State::Ended;
            let parcel = place.parcel.clone()?;
            if place.held == 0 {
                self.list(number);
            }
            return Some(Out::Ended(parcel));
        }
        let parcel = place.parcel.take()?;
        self.set_free(number);
        Some(Out::Gone(parcel))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    impl<P> Places<P> for Vec<Place<P>> {
        fn count(&self) -> usize {
            self.len()
        }

        fn place(&self, at: usize) -> Option<&Place<P>> {
            self.get(at)
        }

        fn place_mut(&mut self, at: usize) -> Option<&mut Place<P>> {
            self.get_mut(at)
        }
    }

    type Table = Parcels<u32, Vec<Place<u32>>>;

    fn more(count: usize) -> impl Iterator<Item = Place<u32>> {
        (0..count).map(|_| Place::default())
    }

    /// A parcel of the model: calls that have not ended, completions that have not gone.
    #[derive(Clone, Copy, Debug)]
    struct Model {
        name: u32,
        unended: u32,
        held: u32,
        came_out: bool,
    }

    proptest! {
        /// Each parcel comes out once when its last call ended, and once more, for good, when its
        /// last completion went; never before, and never under another's number.
        #[test]
        fn each_comes_out_twice(steps in prop::collection::vec((0_u8..5, any::<usize>()), 0..300)) {
            let mut table = Table::new(Vec::new());
            let mut model: BTreeMap<Number, Model> = BTreeMap::new();
            let mut name = 0;
            for (step, at) in steps {
                let pick = |which: &dyn Fn(&Model) -> bool| {
                    let some: Vec<_> = model
                        .iter()
                        .filter(|(_, it)| which(it))
                        .map(|(number, _)| *number)
                        .collect();
                    (!some.is_empty()).then(|| some[at % some.len()])
                };
                match step {
                    0 => {
                        name += 1;
                        if !table.has_room() {
                            prop_assert!(table.enter(name).is_none());
                            table.grow(|places| places.extend(more(3)));
                        }
                        let number = table.enter(name).unwrap();
                        let it = Model { name, unended: 1, held: 1, came_out: false };
                        prop_assert!(model.insert(number, it).is_none());
                        prop_assert!(number != NONE);
                    }
                    1 => if let Some(number) = pick(&|it| it.unended > 0) {
                        table.hold(number);
                        let it = model.get_mut(&number).unwrap();
                        it.unended += 1;
                        it.held += 1;
                    },
                    2 => if let Some(number) = pick(&|it| it.unended > 0) {
                        table.ended(number);
                        model.get_mut(&number).unwrap().unended -= 1;
                    },
                    3 => if let Some(number) = pick(&|it| it.held > it.unended) {
                        table.gone(number);
                        model.get_mut(&number).unwrap().held -= 1;
                    },
                    _ => {
                        let due = model.values().any(|it| {
                            it.unended == 0 && (!it.came_out || it.held == 0)
                        });
                        prop_assert_eq!(table.has_over(), due);
                        match table.take() {
                            None => prop_assert!(!due),
                            Some(Out::Ended(name)) => {
                                let it = model.values_mut().find(|it| it.name == name).unwrap();
                                prop_assert!(it.unended == 0 && !it.came_out);
                                it.came_out = true;
                            }
                            Some(Out::Gone(name)) => {
                                let (number, it) = model
                                    .iter()
                                    .map(|(number, it)| (*number, *it))
                                    .find(|(_, it)| it.name == name)
                                    .unwrap();
                                prop_assert!(it.came_out && it.held == 0);
                                model.remove(&number);
                                prop_assert_eq!(table.get(number), None);
                            }
                        }
                    }
                }
                for (number, it) in &model {
                    prop_assert_eq!(table.get(*number), Some(&it.name));
                }
            }
        }
    }
}

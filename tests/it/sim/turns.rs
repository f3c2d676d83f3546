//! Two runs take turns at host calls: a schedule says before which call who gives way.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// When a run gives way to the other one.
#[derive(Debug, Clone)]
pub(crate) enum Schedule {
    /// In this order: run number (0 or 1) before its call number (from 1). After the last of them nobody does, and whoever
    /// has the turn runs to its end.
    At(VecDeque<(usize, u64)>),
    /// By the dice of this seed, before every call.
    Dice(u64),
}

impl Schedule {
    pub(crate) fn at(positions: &[(usize, u64)]) -> Self {
        Self::At(positions.iter().copied().collect())
    }
}

/// Where two runs take turns.
pub(crate) struct Turns {
    turn: Cell<usize>,
    ended: [Cell<bool>; 2],
    calls: [Cell<u64>; 2],
    schedule: RefCell<Schedule>,
    dice: RefCell<StdRng>,
    waiting: RefCell<Vec<Waker>>,
}

impl Turns {
    /// Run 0 begins.
    pub(crate) fn new(schedule: Schedule) -> Rc<Self> {
        let seed = if let Schedule::Dice(seed) = schedule { seed } else { 0 };
        Rc::new(Self {
            turn: Cell::new(0),
            ended: Default::default(),
            calls: Default::default(),
            schedule: RefCell::new(schedule),
            dice: RefCell::new(StdRng::seed_from_u64(seed)),
            waiting: RefCell::default(),
        })
    }

    pub(crate) fn seat(self: &Rc<Self>, number: usize) -> Seat {
        Seat { turns: Rc::clone(self), number }
    }

    fn give_way(&self, number: usize, call: u64) -> bool {
        match &mut *self.schedule.borrow_mut() {
            Schedule::At(positions) => {
                let due = positions.front() == Some(&(number, call));
                if due {
                    positions.pop_front();
                }
                due
            }
            Schedule::Dice(_) => self.dice.borrow_mut().random_bool(0.3),
        }
    }

    fn pass_to(&self, number: usize) {
        self.turn.set(number);
        self.waiting.take().into_iter().for_each(Waker::wake);
    }
}

/// The place of one run.
#[derive(Clone)]
pub(crate) struct Seat {
    turns: Rc<Turns>,
    number: usize,
}

impl Seat {
    fn other(&self) -> usize {
        1 - self.number
    }

    /// Waits until this run may make its next call.
    pub(crate) async fn turn(&self) {
        let turns = &self.turns;
        let mut asked = false;
        poll_fn(|context| {
            let alone = turns.ended[self.other()].get();
            if alone || turns.turn.get() == self.number {
                let call = turns.calls[self.number].get() + 1;
                if asked || alone || !turns.give_way(self.number, call) {
                    turns.calls[self.number].set(call);
                    return Poll::Ready(());
                }
                asked = true;
                turns.pass_to(self.other());
            }
            turns.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// This run has ended: the other one has the turn for good.
    pub(crate) fn leave(&self) {
        self.turns.ended[self.number].set(true);
        self.turns.pass_to(self.other());
    }
}

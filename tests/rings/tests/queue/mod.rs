// SPDX-License-Identifier: GPL-2.0

//! The stop flag of a queue, for tests on one thread.

use rings::net::spsc::TxQueue;
use std::cell::Cell;

#[derive(Default)]
pub struct Queue(Cell<bool>);

impl TxQueue for Queue {
    fn stop(&self) {
        self.0.set(true);
    }
    fn wake(&self) {
        self.0.set(false);
    }
    fn is_stopped(&self) -> bool {
        self.0.get()
    }
}

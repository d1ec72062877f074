/// Numbered seats for what a selection keeps of each element.
#[derive(Debug)]
pub(super) struct Seats<T> {
    seats: Vec<T>,
    /// Empty seats, the latest on top.
    free: Vec<u32>,
}

impl<T> Default for Seats<T> {
    fn default() -> Self {
        Self { seats: Vec::new(), free: Vec::new() }
    }
}

impl<T> Seats<T> {
    /// Puts a value on a seat.
    pub(super) fn take(&mut self, value: T) -> u32 {
        if let Some(seat) = self.free.pop() {
            self.seats[seat as usize] = value;
            return seat;
        }
        self.seats.push(value);
        u32::try_from(self.seats.len() - 1).unwrap_or(u32::MAX)
    }

    /// Empties a seat that is taken.
    pub(super) fn leave(&mut self, seat: u32) {
        self.free.push(seat);
    }
}

impl<T> std::ops::Index<u32> for Seats<T> {
    type Output = T;

    fn index(&self, seat: u32) -> &T {
        &self.seats[seat as usize]
    }
}

impl<T> std::ops::IndexMut<u32> for Seats<T> {
    fn index_mut(&mut self, seat: u32) -> &mut T {
        &mut self.seats[seat as usize]
    }
}

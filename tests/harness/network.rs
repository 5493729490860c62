//! The network between devices and the relay: connections of two lanes whose frames arrive in order, late, or not at all.
//!
//! A cut falls anywhere, inside a frame too: so many bytes of what is under way still arrive, what they do not complete is
//! gone. A lane may fall silent while the other one goes on. A side that hangs up stops reading; what it had sent
//! before still arrives.

use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use sync_core::device::Socket;
use sync_core::time::Millis;
use sync_core::wire::CloseCode;

use crate::rng::Rng;

/// Names a connection, in the order in which they were dialled.
pub type Connection = u64;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// device -> relay
    Up,
    /// relay -> device
    Down,
}

/// What happens to the network.
#[derive(Clone, Debug)]
pub enum NetworkInput {
    /// A device opens a socket.
    Dial {
        /// The device.
        device: usize,
        /// Its socket.
        socket: Socket,
    },
    /// A side sends a frame.
    Send {
        /// On which connection.
        connection: Connection,
        /// Which way.
        way: Way,
        /// The frame.
        bytes: Bytes,
    },
    /// The sender of this way hangs up.
    HangUp {
        /// The connection.
        connection: Connection,
        /// Which side: the one that sends this way.
        way: Way,
        /// Told to the other side.
        code: Option<CloseCode>,
    },
    /// The connection breaks.
    Cut {
        /// The connection.
        connection: Connection,
        /// Bytes under way that still arrive at the relay.
        up_bytes: usize,
        /// Bytes under way that still arrive at the device.
        down_bytes: usize,
    },
    /// One lane delivers nothing until then.
    Silence {
        /// The connection.
        connection: Connection,
        /// Which lane.
        way: Way,
        /// Until when.
        until: Millis,
    },
}

/// What arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The relay has a new connection, the device's socket is open.
    Opened,
    /// A frame.
    Frame(Bytes),
    /// The other side is gone.
    Closed(Option<CloseCode>),
}

#[derive(Clone, Debug, Default)]
struct Lane {
    under_way: VecDeque<(Millis, Arrival)>,
    silent_until: Millis,
    /// Nobody reads at the end of it.
    deaf: bool,
}

impl Lane {
    fn push(&mut self, at: Millis, arrival: Arrival) {
        let last = self.under_way.back().map_or(Millis(0), |(due, _)| *due);
        self.under_way.push_back((at.max(last), arrival));
    }
    fn bytes(&self) -> usize {
        self.under_way.iter().map(|(_, arrival)| size(arrival)).sum()
    }
    /// Only so many bytes still arrive; then the end.
    fn cut(&mut self, now: Millis, mut bytes: usize) {
        let whole = self.under_way.iter().take_while(|(_, arrival)| {
            let fits = size(arrival) <= bytes;
            bytes = bytes.saturating_sub(size(arrival));
            fits && !matches!(arrival, Arrival::Closed(_))
        });
        let whole = whole.count();
        self.under_way.truncate(whole);
        self.push(now, Arrival::Closed(None));
    }
    fn due(&self) -> Option<Millis> {
        if self.deaf {
            return None;
        }
        self.under_way.front().map(|(due, _)| (*due).max(self.silent_until))
    }
}

fn size(arrival: &Arrival) -> usize {
    match arrival {
        Arrival::Frame(bytes) => bytes.len(),
        Arrival::Opened | Arrival::Closed(_) => 0,
    }
}

#[derive(Clone, Debug)]
struct Wire {
    device: usize,
    socket: Socket,
    lanes: [Lane; 2],
    open: bool,
}

/// All connections that still carry something.
#[derive(Clone, Debug)]
pub struct Network {
    rng: Rng,
    wires: BTreeMap<Connection, Wire>,
    last: Connection,
    /// A frame takes up to so long; 0: it is there at once, but waits for its turn.
    pub delay_ms_max: u64,
    /// What was under way to a side that hangs up still reaches it, on a socket that it has given up (R3).
    pub late_reads: bool,
    /// Frames that arrived.
    pub frames: u64,
    /// Their bytes.
    pub frame_bytes: u64,
}

impl Network {
    /// No connections.
    pub fn new(seed: u64) -> Network {
        Network {
            rng: Rng::new(seed),
            wires: BTreeMap::new(),
            last: 0,
            delay_ms_max: 0,
            late_reads: false,
            frames: 0,
            frame_bytes: 0,
        }
    }

    /// Takes what a side does, or what happens to it.
    pub fn handle_input(&mut self, now: Millis, input: NetworkInput) {
        let due = now.plus(self.rng.below(self.delay_ms_max + 1));
        match input {
            NetworkInput::Dial { device, socket } => {
                self.last += 1;
                let mut wire = Wire { device, socket, lanes: [Lane::default(), Lane::default()], open: true };
                wire.lanes[Way::Up as usize].push(due, Arrival::Opened);
                self.wires.insert(self.last, wire);
            }
            NetworkInput::Send { connection, way, bytes } => {
                let hears = |wire: &&mut Wire| wire.open && !wire.lanes[way as usize].deaf;
                if let Some(wire) = self.wires.get_mut(&connection).filter(hears) {
                    wire.lanes[way as usize].push(due, Arrival::Frame(bytes));
                }
            }
            NetworkInput::HangUp { connection, way, code } => {
                let Some(wire) = self.wires.get_mut(&connection) else { return };
                let back = &mut wire.lanes[1 - way as usize];
                if way == Way::Down || !self.late_reads {
                    (back.deaf, back.under_way) = (true, VecDeque::new());
                }
                if wire.open {
                    wire.lanes[way as usize].push(due, Arrival::Closed(code));
                }
                self.forget(connection);
            }
            NetworkInput::Cut { connection, up_bytes, down_bytes } => {
                if let Some(wire) = self.wires.get_mut(&connection).filter(|wire| wire.open) {
                    wire.open = false;
                    wire.lanes[Way::Up as usize].cut(now, up_bytes);
                    wire.lanes[Way::Down as usize].cut(now, down_bytes);
                }
            }
            NetworkInput::Silence { connection, way, until } => {
                if let Some(wire) = self.wires.get_mut(&connection) {
                    wire.lanes[way as usize].silent_until = until;
                }
            }
        }
    }

    /// How often somebody has dialled.
    pub fn dials(&self) -> u64 {
        self.last
    }
    /// Lanes on which something can arrive now.
    pub fn ready(&self, now: Millis) -> Vec<(Connection, Way)> {
        self.lanes().filter(|(_, _, due)| *due <= now).map(|(connection, way, _)| (connection, way)).collect()
    }
    /// When the next thing arrives.
    pub fn wake_at(&self) -> Option<Millis> {
        self.lanes().map(|(_, _, due)| due).min()
    }
    fn lanes(&self) -> impl Iterator<Item = (Connection, Way, Millis)> {
        self.wires.iter().flat_map(|(connection, wire)| {
            [Way::Up, Way::Down].into_iter().filter_map(|way| Some((*connection, way, wire.lanes[way as usize].due()?)))
        })
    }

    /// The next thing on this lane arrives.
    pub fn poll_output(&mut self, connection: Connection, way: Way) -> Option<Arrival> {
        let wire = self.wires.get_mut(&connection)?;
        let (_, arrival) = wire.lanes[way as usize].under_way.pop_front()?;
        if matches!(arrival, Arrival::Closed(_)) {
            wire.open = false;
            wire.lanes[way as usize].deaf = true;
        }
        if matches!(arrival, Arrival::Opened) && way == Way::Up {
            wire.lanes[Way::Down as usize].push(Millis(0), Arrival::Opened);
        }
        self.frames += u64::from(matches!(arrival, Arrival::Frame(_)));
        self.frame_bytes += size(&arrival) as u64;
        self.forget(connection);
        Some(arrival)
    }

    /// A connection of which neither side will hear again is forgotten.
    fn forget(&mut self, connection: Connection) {
        let over = |lane: &Lane| lane.deaf || lane.under_way.is_empty();
        if self.wires.get(&connection).is_some_and(|wire| !wire.open && wire.lanes.iter().all(over)) {
            self.wires.remove(&connection);
        }
    }

    /// Whose connection it is.
    pub fn end(&self, connection: Connection) -> Option<(usize, Socket)> {
        self.wires.get(&connection).map(|wire| (wire.device, wire.socket))
    }
    /// The connection behind a device's socket.
    pub fn connection(&self, device: usize, socket: Socket) -> Option<Connection> {
        self.wires.iter().find(|(_, wire)| (wire.device, wire.socket) == (device, socket)).map(|(number, _)| *number)
    }
    /// Connections that both sides could still use.
    pub fn open(&self) -> Vec<Connection> {
        let open = |wire: &Wire| wire.open && !wire.lanes.iter().any(|lane| lane.deaf);
        self.wires.iter().filter(|(_, wire)| open(wire)).map(|(connection, _)| *connection).collect()
    }
    /// Bytes under way.
    pub fn bytes(&self, connection: Connection, way: Way) -> usize {
        self.wires.get(&connection).map_or(0, |wire| wire.lanes[way as usize].bytes())
    }
    /// No delay and no silence any more.
    pub fn calm(&mut self) {
        self.delay_ms_max = 0;
        self.wires.values_mut().flat_map(|wire| &mut wire.lanes).for_each(|lane| lane.silent_until = Millis(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialled() -> Network {
        let mut network = Network::new(1);
        network.handle_input(Millis(0), NetworkInput::Dial { device: 0, socket: 1 });
        assert_eq!(network.poll_output(1, Way::Up), Some(Arrival::Opened));
        assert_eq!(network.poll_output(1, Way::Down), Some(Arrival::Opened));
        network
    }
    fn send(network: &mut Network, way: Way, bytes: &'static [u8]) {
        network.handle_input(Millis(0), NetworkInput::Send { connection: 1, way, bytes: Bytes::from_static(bytes) });
    }
    fn frames(network: &mut Network, way: Way) -> (usize, bool) {
        let mut count = 0;
        while let Some(arrival) = network.poll_output(1, way) {
            match arrival {
                Arrival::Frame(_) => count += 1,
                Arrival::Closed(_) => return (count, true),
                Arrival::Opened => {}
            }
        }
        (count, false)
    }

    #[test]
    fn a_cut_inside_a_frame_loses_that_frame_and_what_is_behind() {
        for (up_bytes, whole) in [(0, 0), (2, 0), (3, 1), (5, 1), (6, 2), (99, 3)] {
            let mut network = dialled();
            [b"abc", b"def", b"ghi"].into_iter().for_each(|frame| send(&mut network, Way::Up, frame));
            network.handle_input(Millis(0), NetworkInput::Cut { connection: 1, up_bytes, down_bytes: 0 });
            assert_eq!(frames(&mut network, Way::Up), (whole, true));
        }
    }

    #[test]
    fn what_was_sent_before_a_hang_up_still_arrives_but_is_not_answered() {
        let mut network = dialled();
        send(&mut network, Way::Up, b"abc");
        network.handle_input(Millis(0), NetworkInput::HangUp { connection: 1, way: Way::Up, code: None });
        send(&mut network, Way::Down, b"answer");
        assert_eq!(network.ready(Millis(0)), [(1, Way::Up)]);
        assert_eq!(frames(&mut network, Way::Up), (1, true));
        assert_eq!(network.wake_at(), None);
    }

    #[test]
    fn one_lane_may_fall_silent_while_the_other_goes_on() {
        let mut network = dialled();
        let silence = NetworkInput::Silence { connection: 1, way: Way::Down, until: Millis(500) };
        network.handle_input(Millis(0), silence);
        send(&mut network, Way::Down, b"x");
        send(&mut network, Way::Up, b"y");
        assert_eq!(network.ready(Millis(0)), [(1, Way::Up)]);
        assert_eq!(network.ready(Millis(500)).len(), 2);
    }
}

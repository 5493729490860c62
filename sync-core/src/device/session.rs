//! The one connection to the relay: dialling, shaking hands, keeping alive, backing off.

use super::input::Socket;
use super::io::Io;
use super::output::{Connection, Notice, Output};
use crate::ids::ProducerId;
use crate::limits::*;
use crate::time::Millis;
use crate::wire::{CloseCode, Hello, Message, Up, Welcome};
use alloc::string::String;

/// What the connection's life is at.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Phase {
    /// Nothing is open yet.
    Idle,
    /// No network, or told to stay away.
    Offline,
    /// Waits for the shell to bring a token.
    AwaitingToken,
    Dialing {
        socket: Socket,
        since: Millis,
    },
    Handshaking {
        socket: Socket,
        since: Millis,
    },
    Live {
        socket: Socket,
        heard: Millis,
        spoke: Millis,
    },
    BackingOff {
        until: Millis,
    },
    NeedsAuth,
    Stopped {
        code: &'static str,
    },
}

pub(super) struct Session {
    pub(super) phase: Phase,
    sockets: Socket,
    /// Failed tries since a stream was last answered.
    attempt: u32,
    /// What `Disconnect` and `Network` said.
    wanted: bool,
    online: bool,
    wants_token: bool,
    token: Option<String>,
    token_refused: bool,
    /// What the relay takes, as it said last.
    pub(super) event_bytes_max: usize,
    pub(super) window_bytes: usize,
    /// Bytes handed to the socket that it has not sent.
    pub(super) buffered_bytes: usize,
    told: Option<Connection>,
}

impl Session {
    pub(super) fn new(wants_token: bool) -> Session {
        Session {
            phase: Phase::Idle,
            sockets: 0,
            attempt: 0,
            wanted: true,
            online: true,
            wants_token,
            token: None,
            token_refused: false,
            event_bytes_max: EVENT_BYTES_MAX,
            window_bytes: WINDOW_BYTES,
            buffered_bytes: 0,
            told: None,
        }
    }

    pub(super) fn socket(&self) -> Option<Socket> {
        match self.phase {
            Phase::Dialing { socket, .. } | Phase::Handshaking { socket, .. } | Phase::Live { socket, .. } => {
                Some(socket)
            }
            _ => None,
        }
    }
    pub(super) fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live { .. })
    }

    /// Something wants the relay: dial if nothing speaks against it.
    pub(super) fn want(&mut self, io: &mut Io) {
        if matches!(self.phase, Phase::Idle) {
            self.dial(io);
        }
    }

    fn dial(&mut self, io: &mut Io) {
        if !self.wanted || !self.online {
            self.phase = Phase::Offline;
        } else if self.wants_token && self.token.is_none() {
            self.phase = Phase::AwaitingToken;
            io.outputs.push_back(Output::NeedsToken { refused: self.token_refused });
        } else {
            self.sockets += 1;
            self.buffered_bytes = 0;
            self.phase = Phase::Dialing { socket: self.sockets, since: io.now };
            io.outputs.push_back(Output::Dial(self.sockets));
        }
    }

    pub(super) fn connect(&mut self, io: &mut Io) {
        self.wanted = true;
        self.attempt = 0;
        if self.socket().is_none() {
            self.dial(io);
        }
    }
    pub(super) fn disconnect(&mut self, io: &mut Io) {
        self.wanted = false;
        self.hang_up(io);
        self.phase = Phase::Offline;
    }
    pub(super) fn network(&mut self, online: bool, io: &mut Io) {
        self.online = online;
        match self.phase {
            // A socket on a network that is gone shows it by silence at the latest; the hint is often wrong.
            Phase::Offline | Phase::BackingOff { .. } if online => {
                self.attempt = 0;
                self.dial(io);
            }
            Phase::BackingOff { .. } => self.phase = Phase::Offline,
            _ => {}
        }
    }
    /// A token came. True if it is a newer one for the live connection.
    pub(super) fn token(&mut self, token: Option<String>, io: &mut Io) -> Option<Up> {
        self.token = token;
        match (&self.phase, &self.token) {
            (Phase::AwaitingToken, Some(_)) => self.dial(io),
            (Phase::AwaitingToken, None) => self.phase = Phase::NeedsAuth,
            (Phase::NeedsAuth, Some(_)) => self.dial(io),
            (Phase::Live { .. }, Some(token)) => return Some(Up::Authenticate { token: token.clone() }),
            _ => {}
        }
        None
    }

    pub(super) fn opened(&mut self, socket: Socket, producer: ProducerId, io: &mut Io) {
        if self.phase != (Phase::Dialing { socket, since: self.since() }) {
            return;
        }
        self.phase = Phase::Handshaking { socket, since: io.now };
        let (version_min, version_max) = VERSIONS;
        let hello = Hello { version_min, version_max, producer, token: self.token.clone() };
        io.outputs.push_back(Output::Send { socket, bytes: Up::Hello(hello).encode() });
    }
    fn since(&self) -> Millis {
        match self.phase {
            Phase::Dialing { since, .. } | Phase::Handshaking { since, .. } => since,
            _ => Millis::default(),
        }
    }
    pub(super) fn welcomed(&mut self, welcome: &Welcome, io: &mut Io) {
        if let Phase::Handshaking { socket, .. } = self.phase {
            self.phase = Phase::Live { socket, heard: io.now, spoke: io.now };
            self.token_refused = false;
            self.event_bytes_max = usize::try_from(welcome.limits.event_bytes_max).unwrap_or(EVENT_BYTES_MAX);
            self.window_bytes = usize::try_from(welcome.window_bytes).unwrap_or(WINDOW_BYTES).max(FRAME_BYTES_TARGET);
        }
    }
    /// The relay works: the next failure starts the backoff anew.
    pub(super) fn answered(&mut self) {
        self.attempt = 0;
    }

    pub(super) fn send(&mut self, message: &Up, io: &mut Io) -> usize {
        let Phase::Live { socket, spoke, .. } = &mut self.phase else { return 0 };
        *spoke = io.now;
        let bytes = message.encode();
        let len = bytes.len();
        self.buffered_bytes += len;
        io.outputs.push_back(Output::Send { socket: *socket, bytes });
        len
    }
    pub(super) fn heard(&mut self, io: &Io) {
        if let Phase::Live { heard, .. } = &mut self.phase {
            *heard = io.now;
        }
    }

    /// The relay goes away and says when to come back.
    pub(super) fn goodbye(&mut self, delay_ms: u64, io: &mut Io) {
        self.hang_up(io);
        self.phase = Phase::BackingOff { until: io.now.plus(delay_ms.min(BACKOFF_MS_MAX)) };
    }
    /// The socket is gone.
    pub(super) fn closed(&mut self, code: Option<CloseCode>, io: &mut Io) {
        match code {
            Some(CloseCode::Version) => self.phase = Phase::Stopped { code: "outdated-app" },
            Some(CloseCode::Unauthorized) if self.wants_token && !self.token_refused => {
                (self.token, self.token_refused) = (None, true);
                self.dial(io);
            }
            Some(CloseCode::Unauthorized) => self.phase = Phase::NeedsAuth,
            Some(code) if !code.may_reconnect() => self.phase = Phase::Stopped { code: "engine-failed" },
            _ => self.back_off(io),
        }
    }
    /// Gives the socket up and tries again later.
    pub(super) fn drop_socket(&mut self, io: &mut Io) {
        self.hang_up(io);
        self.back_off(io);
    }
    /// Stops for good, until `Connect`.
    pub(super) fn stop(&mut self, code: &'static str, io: &mut Io) {
        self.hang_up(io);
        self.phase = Phase::Stopped { code };
    }
    fn hang_up(&mut self, io: &mut Io) {
        if let Some(socket) = self.socket() {
            io.outputs.push_back(Output::HangUp(socket));
        }
    }
    fn back_off(&mut self, io: &mut Io) {
        if !self.wanted || !self.online {
            self.phase = Phase::Offline;
            return;
        }
        // Full jitter: a thousand devices that lost one relay come back spread out.
        let ceiling = (BACKOFF_MS_BASE << self.attempt.min(16)).min(BACKOFF_MS_MAX);
        self.attempt += 1;
        self.phase = Phase::BackingOff { until: io.now.plus(io.random.below(ceiling) + 1) };
    }

    /// When something is due, at the latest.
    pub(super) fn due(&self) -> Option<Millis> {
        match self.phase {
            Phase::Dialing { since, .. } | Phase::Handshaking { since, .. } => Some(since.plus(HANDSHAKE_MS_MAX)),
            Phase::Live { heard, spoke, .. } => Some(heard.plus(SILENCE_MS_MAX).min(spoke.plus(ALIVE_EVERY_MS))),
            Phase::BackingOff { until } => Some(until),
            _ => None,
        }
    }
    /// True if the connection was given up.
    pub(super) fn timer(&mut self, io: &mut Io) -> bool {
        match self.phase {
            Phase::Dialing { since, .. } | Phase::Handshaking { since, .. }
                if io.now.since(since) >= HANDSHAKE_MS_MAX =>
            {
                self.drop_socket(io);
                return true;
            }
            Phase::Live { heard, .. } if io.now.since(heard) >= SILENCE_MS_MAX => {
                self.drop_socket(io);
                return true;
            }
            Phase::Live { spoke, .. } if io.now.since(spoke) >= ALIVE_EVERY_MS => {
                self.send(&Up::Alive, io);
            }
            Phase::BackingOff { until } if io.now >= until => self.dial(io),
            _ => {}
        }
        false
    }

    pub(super) fn connection(&self) -> Connection {
        match self.phase {
            Phase::Idle => Connection::Idle,
            Phase::Offline => Connection::Offline,
            Phase::AwaitingToken | Phase::Dialing { .. } | Phase::Handshaking { .. } => Connection::Connecting,
            Phase::Live { .. } => Connection::Connected,
            Phase::BackingOff { until } => Connection::Waiting { until },
            Phase::NeedsAuth => Connection::NeedsAuth,
            Phase::Stopped { code } => Connection::Stopped { code },
        }
    }
    /// Tells pages if it is another than they were told last.
    pub(super) fn tell(&mut self, io: &mut Io) {
        let now = self.connection();
        if self.told.as_ref() != Some(&now) {
            self.told = Some(now.clone());
            io.notice(Notice::Connection(now));
        }
    }
}

//! One device as a task: what its machine asks for, performed on a real socket and a store in memory.

use futures_util::{SinkExt, StreamExt};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use sync_core::device::{Device, Input, Notice, Options, Output, Socket};
use sync_core::ids::StreamName;
use sync_core::memory::MemoryDisk;
use sync_core::time::Millis;
use sync_core::wire::CloseCode;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{self, protocol::WebSocketConfig};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

type Connection = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What the owner of a device tells it.
pub enum Command {
    /// An input for the machine.
    Input(Input),
    /// Cut the connection, as a network would.
    Cut,
}

/// A device and what it says.
pub struct NativeDevice {
    commands: mpsc::UnboundedSender<Command>,
    /// What pages would hear.
    pub notices: mpsc::UnboundedReceiver<Notice>,
}

impl NativeDevice {
    /// A new device of the relay at `address` that follows `stream`.
    pub fn start(seed: [u8; 32], address: String, stream: StreamName) -> NativeDevice {
        let (commands, inbox) = mpsc::unbounded_channel();
        let (outbox, notices) = mpsc::unbounded_channel();
        let device = Device::new(seed, Options { relay: true, wants_token: false });
        let shell = Shell {
            device,
            disk: MemoryDisk::default(),
            answers: VecDeque::from([Input::Open { stream }]),
            begin: Instant::now(),
            wake: None,
            address,
            socket: None,
            notices: outbox,
        };
        tokio::spawn(shell.run(inbox));
        NativeDevice { commands, notices }
    }
    /// Hands the machine an input.
    pub fn input(&self, input: Input) {
        // The task ends only when this handle is dropped.
        let _ = self.commands.send(Command::Input(input));
    }
    /// Cuts the connection.
    pub fn cut(&self) {
        let _ = self.commands.send(Command::Cut);
    }
}

struct Shell {
    device: Device,
    disk: MemoryDisk,
    answers: VecDeque<Input>,
    begin: Instant,
    wake: Option<Millis>,
    address: String,
    socket: Option<(Socket, Option<Connection>)>,
    notices: mpsc::UnboundedSender<Notice>,
}

enum Happened {
    Input(Input),
    Opened(Socket, Box<Opened>),
    Cut,
    End,
}

impl Shell {
    fn now(&self) -> Millis {
        Millis(self.begin.elapsed().as_millis() as u64)
    }

    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        let mut dial: Option<Dial> = None;
        loop {
            self.perform(&mut dial).await;
            while let Some(input) = self.answers.pop_front() {
                let now = self.now();
                self.device.handle_input(now, input);
                self.perform(&mut dial).await;
            }
            match self.next(&mut inbox, &mut dial).await {
                Happened::Input(input) => {
                    if matches!(input, Input::SocketClosed { .. }) {
                        self.socket = None;
                    }
                    self.answers.push_back(input);
                }
                Happened::Opened(socket, opened) => {
                    dial = None;
                    match *opened {
                        Ok((connection, _)) => {
                            self.socket = Some((socket, Some(connection)));
                            self.answers.push_back(Input::SocketOpened(socket));
                        }
                        Err(_) => {
                            self.socket = None;
                            self.answers.push_back(Input::SocketClosed { socket, code: None });
                        }
                    }
                }
                Happened::Cut => {
                    if let Some((socket, Some(connection))) = self.socket.take() {
                        drop(connection);
                        self.answers.push_back(Input::SocketClosed { socket, code: None });
                    }
                }
                Happened::End => return,
            }
        }
    }

    async fn next(&mut self, inbox: &mut mpsc::UnboundedReceiver<Command>, dial: &mut Option<Dial>) -> Happened {
        // Nothing is due: look again in an hour.
        let wait = self.wake.map_or(3_600_000, |at| at.since(self.now()));
        let connection = self.socket.as_mut().and_then(|(socket, c)| c.as_mut().map(|c| (*socket, c)));
        let is_open = connection.is_some();
        tokio::select! {
            command = inbox.recv() => match command {
                Some(Command::Input(input)) => Happened::Input(input),
                Some(Command::Cut) => Happened::Cut,
                None => Happened::End,
            },
            opened = async { dial.as_mut().expect("guarded").1.as_mut().await }, if dial.is_some() => {
                Happened::Opened(dial.as_ref().map_or(0, |d| d.0), Box::new(opened))
            }
            frame = async { let (socket, c) = connection.expect("guarded"); (socket, c.next().await) },
                if is_open => Happened::Input(read(frame.0, frame.1)),
            () = tokio::time::sleep(Duration::from_millis(wait)) => {
                self.wake = None;
                Happened::Input(Input::Timer)
            }
        }
    }

    async fn perform(&mut self, dial: &mut Option<Dial>) {
        while let Some(output) = self.device.poll_output() {
            match output {
                Output::Commit { transaction, writes } => {
                    self.disk.commit(writes);
                    self.answers.push_back(Input::Committed { transaction });
                }
                Output::Load { request, table, from, to, bytes_max } => {
                    let (rows, more) = self.disk.load(table, from, to, bytes_max);
                    self.answers.push_back(Input::Loaded { request, rows, more });
                }
                Output::Dial(socket) => {
                    let url = format!("ws://{}/sync", self.address);
                    let config = WebSocketConfig::default();
                    let opening =
                        async move { tokio_tungstenite::connect_async_with_config(url, Some(config), true).await };
                    (self.socket, *dial) =
                        (Some((socket, None)), Some((socket, Box::pin(opening) as std::pin::Pin<Box<Opening>>)));
                }
                Output::Send { socket, bytes } => {
                    let Some((open, Some(connection))) = self.socket.as_mut() else { continue };
                    if *open == socket && connection.send(tungstenite::Message::Binary(bytes)).await.is_err() {
                        self.socket = None;
                        self.answers.push_back(Input::SocketClosed { socket, code: None });
                    }
                    // `send` flushes: nothing is left in a buffer of ours.
                    self.answers.push_back(Input::Buffered { socket, bytes: 0 });
                }
                Output::HangUp(_) => (self.socket, *dial) = (None, None),
                Output::NeedsToken { .. } => self.answers.push_back(Input::Token(None)),
                Output::WakeAt(at) => self.wake = Some(at),
                Output::Page(_) => {}
                // The owner may have gone before the device.
                Output::Notice(notice) => drop(self.notices.send(notice)),
            }
        }
    }
}

type Opening = dyn Future<Output = Opened> + Send;
type Opened = Result<(Connection, tungstenite::handshake::client::Response), tungstenite::Error>;
type Dial = (Socket, std::pin::Pin<Box<Opening>>);

fn read(socket: Socket, frame: Option<Result<tungstenite::Message, tungstenite::Error>>) -> Input {
    match frame {
        Some(Ok(tungstenite::Message::Binary(bytes))) => Input::Frame { socket, bytes },
        Some(Ok(tungstenite::Message::Close(close))) => {
            let code = close.and_then(|close| CloseCode::from_number(close.code.into()));
            Input::SocketClosed { socket, code }
        }
        // Pings are answered by the library; the protocol has no text.
        Some(Ok(_)) => Input::Timer,
        Some(Err(_)) | None => Input::SocketClosed { socket, code: None },
    }
}

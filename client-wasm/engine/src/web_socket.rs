//! The socket to the relay. There is one at a time: a new one takes the place of the old one, which is not read again
//! (R3).

use crate::js_value;
use crate::timer::Timer;
use alloc::collections::VecDeque;
use alloc::rc::{Rc, Weak};
use alloc::string::String;
use bytes::Bytes;
use core::cell::RefCell;
use js_sys::{ArrayBuffer, Uint8Array};
use sync_core::device::{Input, Socket};
use sync_core::wire::CloseCode;
use wasm_bindgen::prelude::*;
use web_sys::{BinaryType, CloseEvent, MessageEvent, WebSocket};

/// The browser's own buffer is kept below this: what is in it can be neither reordered nor taken back.
const BUFFERED_BYTES_MAX: usize = 256 * 1024;
/// How often a buffer that is not empty is looked at; no event tells when it is.
const BUFFERED_EVERY_MS: u64 = 10;

/// Where to put what happens: it becomes the device's next input.
pub type Sink = Rc<dyn Fn(Input)>;

/// How the last socket ended, as JavaScript is told it: `{ code, reason }`, of which nothing here needs to know more; null
/// if it did not, or was hung up here.
type Closed = Rc<RefCell<JsValue>>;

/// The sockets to one relay.
pub struct WebSockets {
    url: String,
    sink: Sink,
    current: Option<Rc<Connection>>,
    closed: Closed,
}

impl WebSockets {
    /// `url`: `ws:` or `wss:`.
    pub fn new(url: String, sink: Sink) -> WebSockets {
        WebSockets { url, sink, current: None, closed: Rc::new(RefCell::new(JsValue::NULL)) }
    }
    /// How the last socket ended: `{ code, reason }`, or null if it did not, or was hung up here.
    pub fn closed(&self) -> JsValue {
        self.closed.borrow().clone()
    }
    /// Opens a socket; `SocketOpened` or `SocketClosed` follows. An error, in words, where the address is not allowed.
    pub fn dial(&mut self, socket: Socket) -> Result<(), String> {
        self.current = None;
        self.closed.replace(JsValue::NULL);
        self.current = Some(Connection::open(&self.url, socket, &self.sink, &self.closed)?);
        Ok(())
    }
    /// Sends a binary message, after those before it.
    pub fn send(&self, socket: Socket, bytes: Bytes) {
        if let Some(connection) = self.current.as_ref().filter(|connection| connection.socket == socket) {
            connection.queue.borrow_mut().push(bytes);
            connection.flush();
        }
    }
    /// Closes a socket; nothing more is read from it, nor told about it.
    pub fn hang_up(&mut self, socket: Socket) {
        self.current.take_if(|connection| connection.socket == socket);
    }
}

/// Messages that the browser has not been given yet.
#[derive(Debug, Default)]
struct SendQueue {
    messages: VecDeque<Bytes>,
    bytes: usize,
}

impl SendQueue {
    fn push(&mut self, message: Bytes) {
        self.bytes += message.len();
        self.messages.push_back(message);
    }
    /// The next message, if the browser's buffer has room.
    fn next(&mut self, buffered_bytes: usize) -> Option<Bytes> {
        if buffered_bytes >= BUFFERED_BYTES_MAX {
            return None;
        }
        let message = self.messages.pop_front()?;
        self.bytes -= message.len();
        Some(message)
    }
}

struct Connection {
    socket: Socket,
    web: WebSocket,
    queue: RefCell<SendQueue>,
    poll: Timer,
    _on_open: Closure<dyn FnMut()>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_close: Closure<dyn FnMut(CloseEvent)>,
}

impl Connection {
    fn open(url: &str, socket: Socket, sink: &Sink, closed: &Closed) -> Result<Rc<Connection>, String> {
        let web = WebSocket::new(url).map_err(|error| {
            // "SyntaxError" or "SecurityError": the address itself may hold a secret, so it is not repeated.
            let name = error.dyn_ref::<web_sys::DomException>().map(|error| error.name());
            ["the address of the relay was refused: ", &name.unwrap_or_default()].concat()
        })?;
        web.set_binary_type(BinaryType::Arraybuffer);
        let told = Rc::clone(sink);
        let on_open = Closure::<dyn FnMut()>::new(move || told(Input::SocketOpened(socket)));
        let told = Rc::clone(sink);
        let on_message = Closure::<dyn FnMut(_)>::new(move |event: MessageEvent| {
            // A text message is none of the protocol's: as no bytes at all it is refused like any other rubbish.
            let bytes = event.data().dyn_into::<ArrayBuffer>().map(|data| Uint8Array::new(&data).to_vec());
            told(Input::Frame { socket, bytes: bytes.unwrap_or_default().into() });
        });
        let (told, closed) = (Rc::clone(sink), Rc::clone(closed));
        let on_close = Closure::<dyn FnMut(_)>::new(move |event: CloseEvent| {
            closed.replace(js_value::closed(&event));
            told(Input::SocketClosed { socket, code: CloseCode::from_number(event.code()) });
        });
        web.set_onopen(Some(on_open.as_ref().unchecked_ref()));
        web.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        web.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        let told = Rc::clone(sink);
        Ok(Rc::new_cyclic(|connection: &Weak<Connection>| {
            let connection = connection.clone();
            let poll = Timer::new(move || {
                if let Some(connection) = connection.upgrade() {
                    told(Input::Buffered { socket, bytes: connection.flush() });
                }
            });
            Connection {
                socket,
                web,
                queue: RefCell::default(),
                poll,
                _on_open: on_open,
                _on_message: on_message,
                _on_close: on_close,
            }
        }))
    }
    /// Gives the browser what its buffer has room for. Returns the bytes that have not left yet.
    fn flush(&self) -> usize {
        let mut queue = self.queue.borrow_mut();
        while let Some(message) = queue.next(self.web.buffered_amount() as usize) {
            // It throws only while connecting, and the device sends nothing before `SocketOpened`.
            let _ = self.web.send_with_u8_array(&message);
        }
        let bytes = self.web.buffered_amount() as usize + queue.bytes;
        if bytes > 0 && !self.poll.is_armed() {
            self.poll.arm(BUFFERED_EVERY_MS);
        }
        bytes
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.web.set_onopen(None);
        self.web.set_onmessage(None);
        self.web.set_onclose(None);
        // Only an unusual code or reason is refused, and none is given.
        let _ = self.web.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_gives_only_what_the_buffer_has_room_for() {
        let mut queue = SendQueue::default();
        for _ in 0..3 {
            queue.push(Bytes::from(vec![0; 200 * 1024]));
        }
        let mut buffered = 0;
        while let Some(message) = queue.next(buffered) {
            buffered += message.len();
        }
        assert_eq!((buffered, queue.bytes), (400 * 1024, 200 * 1024));
        assert_eq!(queue.next(BUFFERED_BYTES_MAX), None);
        assert!(queue.next(BUFFERED_BYTES_MAX - 1).is_some());
        assert_eq!((queue.bytes, queue.next(0)), (0, None));
    }
}

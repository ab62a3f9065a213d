//! One session with a node, which holds no buffer while it is idle.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use postroad_proto::PROTOCOL_VERSIONS;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Ack, Credit, Done, Frame, Hello, Ping, Push, Welcome};
use postroad_proto::hello::{self, MAGIC, REFUSAL_LEN};
use postroad_proto::ids::{AccountId, NodeId};
use postroad_proto::limits::MAX_LIST;
use postroad_proto::network::Network;
use postroad_proto::noise::{Channel, Initiator, NoiseSecret};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::error::LoadError;

/// Messages and bytes that a session lets the node push ahead: half of what a node keeps for a
/// client before it calls it too slow.
const CREDIT: (u64, u64) = (4096, 4 << 20);
/// Bytes that an item costs beside header and body, at most: `spec/client.md`.
const ITEM: u64 = 512;
/// A node that does not let one in by then is given up.
const LOGIN: Duration = Duration::from_secs(20);
/// The number of a ping.
pub(crate) const PING: u64 = 3;
const READ: usize = 64 * 1024;

thread_local! {
    /// Lent for one read: sessions are many, threads are not.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// A node to talk to.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) network: Network,
    pub(crate) node: NodeId,
    pub(crate) address: SocketAddr,
}

/// An authenticated session.
pub(crate) struct Session {
    stream: TcpStream,
    channel: Channel,
    /// Encoded frames that wait to be sealed.
    pub(crate) frames: Vec<u8>,
    wire: Vec<u8>,
    written: usize,
    generation: u64,
    /// Items taken and not acked yet.
    taken: Vec<(u64, u64)>,
    /// Credit that was used up and not renewed yet: messages, bytes.
    used: (u64, u64),
}

impl Session {
    /// Connects from `from`, shakes hands and says hello; without `account` to register next.
    pub(crate) async fn open(
        place: &Place,
        from: Option<Ipv4Addr>,
        secret: &NoiseSecret,
        account: Option<AccountId>,
    ) -> Result<Self, LoadError> {
        timeout(LOGIN, Self::shake(place, from, secret, account))
            .await
            .map_err(|_| LoadError::Stalled(LOGIN.as_secs()))?
    }

    async fn shake(
        place: &Place,
        from: Option<Ipv4Addr>,
        secret: &NoiseSecret,
        account: Option<AccountId>,
    ) -> Result<Self, LoadError> {
        let mut stream = connect(place.address, from).await?;
        stream.set_nodelay(true)?;
        let prologue = hello::hello(&place.network);
        let (initiator, first) = Initiator::start(secret, &prologue)?;
        stream.write_all(&[prologue.as_slice(), &prefixed(&first)].concat()).await?;
        let second = read_second(&mut stream).await?;
        let (channel, _, third) = initiator.finish(&second, &place.network, Some(&place.node))?;
        let mut session = Self {
            stream,
            channel,
            frames: Vec::new(),
            wire: prefixed(&third),
            written: 0,
            generation: 0,
            taken: Vec::new(),
            used: (0, 0),
        };
        let device = u8::from(account.is_some());
        let (versions, devices) = (PROTOCOL_VERSIONS, None);
        session.queue(Hello { versions, account, device, devices, cursor: 0, quoted: vec![] })?;
        session.generation = session.welcome().await?.generation;
        Ok(session)
    }

    async fn welcome(&mut self) -> Result<Welcome, LoadError> {
        loop {
            self.turn().await?;
            match self.next_frame()? {
                Some(Frame::Welcome(welcome)) => return Ok(*welcome),
                Some(Frame::Done(done)) => return Err(refused("the login", *done)),
                _ => {}
            }
        }
    }

    /// Appends a frame to what the next turn sends.
    pub(crate) fn queue(&mut self, frame: impl Into<Frame>) -> Result<(), LoadError> {
        Ok(frame.into().encode_into(&mut self.frames)?)
    }

    /// Asks something and waits for its answer.
    pub(crate) async fn ask(
        &mut self,
        what: &'static str,
        request: u64,
        frame: impl Into<Frame>,
    ) -> Result<(), LoadError> {
        self.queue(frame)?;
        loop {
            self.turn().await?;
            while let Some(frame) = self.next_frame()? {
                match frame {
                    Frame::Done(done) if done.code.is_some() => return Err(refused(what, *done)),
                    Frame::Done(done) if done.request == request => return Ok(()),
                    _ => {}
                }
            }
        }
    }

    /// Lets the node push.
    pub(crate) fn grant(&mut self) -> Result<(), LoadError> {
        self.queue(Credit { messages: CREDIT.0, bytes: CREDIT.1 })
    }

    /// Waits until the node has dealt with all that was sent to it before.
    pub(crate) async fn ping(&mut self) -> Result<(), LoadError> {
        self.ask("a ping", PING, Ping { request: PING }).await
    }

    /// Asks for a `Done` of number [`PING`] behind all that is there for this session.
    pub(crate) fn queue_ping(&mut self) -> Result<(), LoadError> {
        self.queue(Ping { request: PING })
    }

    /// Notes mail, see [`Self::took`].
    pub(crate) fn took_push(&mut self, push: &Push) {
        let header = push.header.as_ref().map_or(0, |header| header.len());
        self.took(push.seq, push.body.len() + header);
    }

    /// Notes a mailbox item that the next [`Self::settle`] acks. Number 0 is none.
    pub(crate) fn took(&mut self, seq: u64, bytes: usize) {
        if seq == 0 {
            return;
        }
        match self.taken.last_mut() {
            Some(last) if last.1 + 1 == seq => last.1 = seq,
            _ => self.taken.push((seq, seq)),
        }
        self.used.0 += 1;
        self.used.1 += bytes as u64 + ITEM;
    }

    /// Acks what was taken, all in one, and renews the credit once half of it is used.
    pub(crate) fn settle(&mut self) -> Result<(), LoadError> {
        for ranges in std::mem::take(&mut self.taken).chunks(MAX_LIST) {
            self.queue(Ack { generation: self.generation, ranges: ranges.to_vec() })?;
        }
        if self.used.0 > CREDIT.0 / 2 || self.used.1 > CREDIT.1 / 2 {
            let (messages, bytes) = std::mem::take(&mut self.used);
            self.queue(Credit { messages, bytes })?;
        }
        Ok(())
    }

    /// Sends what is queued and waits until something came in. Can be dropped at any time.
    pub(crate) async fn turn(&mut self) -> Result<(), LoadError> {
        if !self.frames.is_empty() {
            self.channel.seal(&self.frames, &mut self.wire)?;
            self.frames.clear();
        }
        loop {
            self.write()?;
            if self.read()? {
                return Ok(());
            }
            // Never only one of both: a node that waits for us to read does not read itself.
            let interest = match self.wire.is_empty() {
                true => Interest::READABLE,
                false => Interest::READABLE | Interest::WRITABLE,
            };
            self.stream.ready(interest).await?;
        }
    }

    fn write(&mut self) -> Result<(), LoadError> {
        while self.written < self.wire.len() {
            match self.stream.try_write(&self.wire[self.written..]) {
                Ok(length) => self.written += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        self.wire.clear();
        self.written = 0;
        Ok(())
    }

    fn read(&mut self) -> Result<bool, LoadError> {
        BUFFER.with_borrow_mut(|buffer| match self.stream.try_read(buffer) {
            Ok(0) => Err(LoadError::Closed),
            Ok(length) => Ok(self.channel.receive(&buffer[..length]).map(|()| true)?),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        })
    }

    /// The next frame that has come in.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, LoadError> {
        Ok(self.channel.next_frame()?)
    }

    /// Gives back what buffers still hold: the session will be idle.
    pub(crate) fn rest(&mut self) {
        (self.frames, self.wire) = (Vec::new(), Vec::new());
    }
}

/// A `Done` that is no success.
pub(crate) fn refused(what: &'static str, done: Done) -> LoadError {
    let code = done.code.unwrap_or(ErrorCode::Denied);
    LoadError::Refused { what, code, detail: done.detail }
}

async fn connect(to: SocketAddr, from: Option<Ipv4Addr>) -> Result<TcpStream, LoadError> {
    let Some(from) = from.filter(|_| to.is_ipv4()) else {
        return Ok(TcpStream::connect(to).await?);
    };
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    Ok(socket.connect(to).await?)
}

fn prefixed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

/// The node's handshake message, or its plain refusal.
async fn read_second(stream: &mut TcpStream) -> Result<Vec<u8>, LoadError> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).await?;
    if head == MAGIC[..2] {
        let mut refusal = [0; REFUSAL_LEN];
        refusal[..2].copy_from_slice(&head);
        stream.read_exact(&mut refusal[2..]).await?;
        let code = hello::parse_refusal(&refusal).ok_or(LoadError::Closed)?;
        return Err(LoadError::Refused { what: "the connection", code, detail: String::new() });
    }
    let mut message = vec![0; usize::from(u16::from_be_bytes(head))];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

//! One client's connection, from the plain hello to its end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use postroad_core::SessionId;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::Frame;
use postroad_proto::hello::{self, HELLO_LEN};
use postroad_proto::ids::Hash;
use postroad_proto::limits::HANDSHAKE_SECONDS;
use postroad_proto::noise::{Channel, MAX_HANDSHAKE, NoiseError, Responder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::{Shared, buffers};
use crate::engine::{EngineHandle, Stopped};
use crate::outgoing::{Outgoing, Todo};

/// A client that takes longer to read what was written is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// A client that has not shown by then that it may stay has to go.
const INTRODUCTION: Duration = Duration::from_secs(15);
/// KiB of one session's frames that may wait for the engine.
pub(super) const SHARE: usize = 512;
/// Reads in a row before others get their turn.
const READS: usize = 8;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Noise(#[from] NoiseError),
    #[error("no handshake within {HANDSHAKE_SECONDS} s")]
    Slow,
    #[error("refused: {0}")]
    Refused(ErrorCode),
    #[error("no device of an account here within {INTRODUCTION:?}")]
    Stranger,
    #[error("the client does not read")]
    NotReading,
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Plain hello and Noise; bounded in time, waiting for one's turn included.
pub(super) async fn handshake(
    stream: &mut TcpStream,
    shared: &Shared,
) -> Result<(Channel, Hash), SessionError> {
    let limit = Duration::from_secs(HANDSHAKE_SECONDS);
    let shaken = async {
        let _turn = shared.handshakes.acquire().await.map_err(|_| Stopped)?;
        shake(stream, shared).await
    };
    tokio::time::timeout(limit, shaken).await.map_err(|_| SessionError::Slow)?
}

async fn shake(stream: &mut TcpStream, shared: &Shared) -> Result<(Channel, Hash), SessionError> {
    let mut prologue = [0; HELLO_LEN];
    stream.read_exact(&mut prologue).await?;
    if let Err(code) = hello::check(&prologue, &shared.network) {
        if code != ErrorCode::Malformed {
            stream.write_all(&hello::refusal(code)).await?;
        }
        return Err(SessionError::Refused(code));
    }
    let first = read_message(stream).await?;
    let record = shared.record();
    let (responder, second) = Responder::start(&shared.noise, &prologue, &first, &record)?;
    stream.write_all(&framed(&second)).await?;
    let third = read_message(stream).await?;
    Ok(responder.finish(&third)?)
}

async fn read_message(stream: &mut TcpStream) -> Result<Vec<u8>, SessionError> {
    let length = usize::from(stream.read_u16().await?);
    if length > MAX_HANDSHAKE {
        return Err(NoiseError::Noise(format!(
            "expected a handshake message of at most {MAX_HANDSHAKE} bytes, got {length}"
        ))
        .into());
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

/// One client's connection after its handshake.
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) stream: TcpStream,
    pub(super) channel: Channel,
    pub(super) outgoing: Arc<Outgoing>,
    /// Its share of the engine's queue, in KiB of frames.
    pub(super) share: Arc<Semaphore>,
}

impl Session {
    /// Carries frames both ways until the other side is known as a device of an account here, or as
    /// a guest of a rendezvous.
    pub(super) async fn introduce(&mut self, engine: &EngineHandle) -> Result<bool, SessionError> {
        let introduced = async {
            while !self.outgoing.is_known() {
                if !self.turn(engine).await? {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        tokio::time::timeout(INTRODUCTION, introduced).await.map_err(|_| SessionError::Stranger)?
    }

    /// Carries frames both ways until either side ends it.
    pub(super) async fn run(mut self, engine: &EngineHandle) -> Result<(), SessionError> {
        while self.turn(engine).await? {}
        Ok(())
    }

    /// Deals with whatever comes next. False at the end.
    async fn turn(&mut self, engine: &EngineHandle) -> Result<bool, SessionError> {
        // Ordered: finish what we owe before taking more.
        tokio::select! {
            biased;
            todo = self.outgoing.todo() => match todo {
                Todo::Write(frames) => self.write(&frames).await.map(|()| true),
                Todo::Close(frames) => {
                    self.write(&frames).await?;
                    self.stream.shutdown().await?;
                    Ok(false)
                }
            },
            ready = self.stream.readable() => {
                ready?;
                self.read(engine).await
            }
        }
    }

    async fn write(&mut self, frames: &[u8]) -> Result<(), SessionError> {
        #[cfg(feature = "hostile")]
        let frames = &crate::hostile::tamper(self.id, frames);
        let mut wire = Vec::with_capacity(frames.len() + 64);
        self.channel.seal(frames, &mut wire)?;
        tokio::time::timeout(WRITE_TIMEOUT, self.stream.write_all(&wire))
            .await
            .map_err(|_| SessionError::NotReading)??;
        Ok(())
    }

    /// Takes what has arrived; the buffer is borrowed for just as long. False at the end.
    async fn read(&mut self, engine: &EngineHandle) -> Result<bool, SessionError> {
        for _ in 0..READS {
            let mut buffer = buffers::borrow();
            match self.stream.try_read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(length) => self.channel.receive(&buffer[..length])?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error.into()),
            }
            drop(buffer);
            let (mut frames, mut kib) = (Vec::new(), 0);
            while let Some(frame) = self.channel.next_frame()? {
                let more = weight(&frame);
                if kib + more > SHARE as u32 {
                    self.hand_over(engine, std::mem::take(&mut frames), kib).await?;
                    kib = 0;
                }
                frames.push(frame);
                kib += more;
            }
            self.hand_over(engine, frames, kib).await?;
        }
        Ok(true)
    }

    /// Waits for room in the session's share of the engine's queue, and fills it.
    async fn hand_over(
        &self,
        engine: &EngineHandle,
        frames: Vec<Frame>,
        kib: u32,
    ) -> Result<(), SessionError> {
        if frames.is_empty() {
            return Ok(());
        }
        let permit = self.share.clone().acquire_many_owned(kib).await.ok();
        Ok(engine.frames(self.id, frames, permit).await?)
    }
}

/// What a frame takes of its session's share of the queue: about its KiB, at least one.
fn weight(frame: &Frame) -> u32 {
    match frame {
        Frame::Send(send) => 1 + (send.envelope.body.len() / 1024) as u32,
        Frame::VaultPut(put) => 1 + (put.data.len() / 1024) as u32,
        Frame::RendezvousSend(send) => 1 + (send.data.len() / 1024) as u32,
        Frame::PrekeysPut(_) | Frame::TokensPut(_) | Frame::InvitesPut(_) => 32,
        Frame::Register(_) => 8,
        _ => 1,
    }
}

//! One client's connection, from the plain hello to its end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use postroad_core::{Input, SessionId};
use postroad_proto::error::ErrorCode;
use postroad_proto::hello::{self, HELLO_LEN};
use postroad_proto::ids::Hash;
use postroad_proto::limits::HANDSHAKE_SECONDS;
use postroad_proto::noise::{Channel, MAX_HANDSHAKE, NoiseError, Responder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Shared, buffers};
use crate::engine::{EngineHandle, Stopped};
use crate::outgoing::{Outgoing, Todo};

/// A client that takes longer to read what was written is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
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
    #[error("the client does not read")]
    NotReading,
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Plain hello and Noise; bounded in time.
pub(super) async fn handshake(
    stream: &mut TcpStream,
    shared: &Shared,
) -> Result<(Channel, Hash), SessionError> {
    let limit = Duration::from_secs(HANDSHAKE_SECONDS);
    tokio::time::timeout(limit, shake(stream, shared)).await.map_err(|_| SessionError::Slow)?
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

/// Carries frames both ways until either side ends it.
pub(super) async fn run(
    id: SessionId,
    mut stream: TcpStream,
    mut channel: Channel,
    outgoing: Arc<Outgoing>,
    engine: &EngineHandle,
) -> Result<(), SessionError> {
    loop {
        // Ordered: finish what we owe before taking more.
        tokio::select! {
            biased;
            todo = outgoing.todo() => match todo {
                Todo::Write(frames) => write(&mut stream, &mut channel, &frames).await?,
                Todo::Close(frames) => {
                    write(&mut stream, &mut channel, &frames).await?;
                    return Ok(stream.shutdown().await?);
                }
            },
            ready = stream.readable() => {
                ready?;
                if !read(id, &stream, &mut channel, engine).await? {
                    return Ok(());
                }
            }
        }
    }
}

async fn write(
    stream: &mut TcpStream,
    channel: &mut Channel,
    frames: &[u8],
) -> Result<(), SessionError> {
    let mut wire = Vec::with_capacity(frames.len() + 64);
    channel.seal(frames, &mut wire)?;
    tokio::time::timeout(WRITE_TIMEOUT, stream.write_all(&wire))
        .await
        .map_err(|_| SessionError::NotReading)??;
    Ok(())
}

/// Takes what has arrived; the buffer is borrowed for just as long. False at the end.
async fn read(
    id: SessionId,
    stream: &TcpStream,
    channel: &mut Channel,
    engine: &EngineHandle,
) -> Result<bool, SessionError> {
    for _ in 0..READS {
        let mut buffer = buffers::borrow();
        match stream.try_read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(length) => channel.receive(&buffer[..length])?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error.into()),
        }
        drop(buffer);
        while let Some(frame) = channel.next_frame()? {
            engine.input(Input::Frame { session: id, frame }).await?;
        }
    }
    Ok(true)
}

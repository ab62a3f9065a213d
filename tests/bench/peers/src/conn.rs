//! One client connection speaking XMPP, MQTT 3.1.1 or NATS/JetStream. Just enough protocol for the load test.

mod mqtt;
mod nats;
mod xmpp;
use base64::Engine;
use bytes::BytesMut;
use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio_rustls::rustls;

pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Proto {
    Xmpp,
    Mqtt,
    Nats,
}

#[derive(Clone)]
pub struct Cfg {
    pub proto: Proto,
    pub addr: SocketAddr,
    pub tls: Option<Arc<rustls::ClientConfig>>,
    pub sm: bool,
    pub src_ips: u32,
}

#[derive(Debug)]
pub enum Ev {
    Header,
    Features,
    Proceed,
    Success,
    Failure,
    Enabled,
    IqResult,
    IqError,
    MsgError,
    Msg { ts: u64, id: u64 },
    Acked(u32),
    Connack(u8),
    Suback,
    Info,
    Pong,
    ApiReply(String),
    End,
}

pub struct Conn {
    pub proto: Proto,
    pub io: Box<dyn Io>,
    pub user: u32,
    pub buf: BytesMut,
    pub out: Vec<u8>,
    sm: bool,
    scan: usize,
    depth: u32, // xml
    sm_in: u32,
    sm_base: u32,
    sm_acked: u32,
    mqtt_pid: u16,
    since_r: u32,
}

fn err(s: impl Into<String>) -> Error {
    Error::new(ErrorKind::Other, s.into())
}

pub const BODY: usize = 256;
pub fn body(ts: u64, id: u64) -> [u8; BODY] {
    let mut b = [b'x'; BODY];
    let s = format!("{:016x}{:016x}", ts, id);
    b[..32].copy_from_slice(s.as_bytes());
    b
}
fn parse_body(b: &[u8]) -> Option<(u64, u64)> {
    if b.len() < BODY {
        return None;
    }
    let s = std::str::from_utf8(&b[..32]).ok()?;
    Some((u64::from_str_radix(&s[..16], 16).ok()?, u64::from_str_radix(&s[16..], 16).ok()?))
}

impl Conn {
    async fn open(cfg: &Cfg, user: u32) -> Result<Conn> {
        let sock = TcpSocket::new_v4()?;
        let ip = Ipv4Addr::new(127, 0, 0, 10 + (user % cfg.src_ips) as u8);
        sock.bind(SocketAddr::new(IpAddr::V4(ip), 0))?;
        let s = sock.connect(cfg.addr).await?;
        s.set_nodelay(true)?;
        Ok(Conn {
            proto: cfg.proto,
            io: Box::new(s),
            user,
            buf: BytesMut::with_capacity(1024),
            out: Vec::new(),
            sm: cfg.sm,
            scan: 0,
            depth: 0,
            sm_in: 0,
            sm_base: 0,
            sm_acked: 0,
            mqtt_pid: 0,
            since_r: 0,
        })
    }
    pub async fn flush(&mut self) -> Result<()> {
        if !self.out.is_empty() {
            let o = std::mem::take(&mut self.out);
            self.io.write_all(&o).await?;
            self.out = o;
            self.out.clear();
            if self.out.capacity() > 65536 {
                self.out = Vec::new()
            }
        }
        Ok(())
    }
    pub async fn fill(&mut self) -> Result<()> {
        self.buf.reserve(1024);
        if self.io.read_buf(&mut self.buf).await? == 0 {
            return Err(err("closed by server"));
        }
        Ok(())
    }
    async fn tls(&mut self, cfg: &Cfg) -> Result<()> {
        let c = tokio_rustls::TlsConnector::from(cfg.tls.clone().unwrap());
        let dummy: Box<dyn Io> = Box::new(tokio::io::duplex(1).0);
        let raw = std::mem::replace(&mut self.io, dummy);
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        self.io = Box::new(c.connect(name, raw).await?);
        self.buf.clear();
        self.scan = 0;
        self.depth = 0;
        Ok(())
    }
    /// Waits until an event for which `f` says true; messages seen on the way go to `early`.
    async fn until(
        &mut self,
        early: &mut Vec<(u64, u64)>,
        mut f: impl FnMut(&Ev) -> bool,
    ) -> Result<Ev> {
        loop {
            while let Some(e) = self.next()? {
                if f(&e) {
                    self.flush().await?;
                    return Ok(e);
                }
                match e {
                    Ev::Msg { ts, id } => early.push((ts, id)),
                    Ev::Failure | Ev::MsgError | Ev::End => {
                        return Err(err(format!("{:?} while logging in", e)));
                    }
                    _ => {}
                }
            }
            self.flush().await?;
            self.fill().await?;
        }
    }
    fn header(&mut self) {
        self.depth = 0;
        self.scan = 0;
        self.out.extend_from_slice(b"<?xml version='1.0'?><stream:stream to='localhost' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>");
    }

    async fn xmpp_pre(&mut self, cfg: &Cfg) -> Result<()> {
        let mut e = vec![];
        self.header();
        self.flush().await?;
        self.until(&mut e, |x| matches!(x, Ev::Features)).await?;
        if cfg.tls.is_some() {
            self.out.extend_from_slice(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
            self.flush().await?;
            self.until(&mut e, |x| matches!(x, Ev::Proceed)).await?;
            self.tls(cfg).await?;
            self.header();
            self.flush().await?;
            self.until(&mut e, |x| matches!(x, Ev::Features)).await?;
        }
        Ok(())
    }
    /// XEP-0077 account creation.
    pub async fn register(cfg: &Cfg, user: u32) -> Result<()> {
        let mut c = Conn::open(cfg, user).await?;
        c.xmpp_pre(cfg).await?;
        c.out.extend_from_slice(format!("<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>u{user}</username><password>pw{user}</password></query></iq>").as_bytes());
        c.flush().await?;
        match c.until(&mut vec![], |x| matches!(x, Ev::IqResult | Ev::IqError)).await? {
            Ev::IqResult => Ok(()),
            _ => Err(err("registration refused")),
        }
    }
    /// Full login. `ready`: wait for proof that the session is complete (not when draining, as messages flow at once).
    pub async fn login(
        cfg: &Cfg,
        user: u32,
        subscribe: bool,
        ready: bool,
        early: &mut Vec<(u64, u64)>,
    ) -> Result<Conn> {
        let mut c = Conn::open(cfg, user).await?;
        match cfg.proto {
            Proto::Xmpp => {
                c.xmpp_pre(cfg).await?;
                let a = base64::engine::general_purpose::STANDARD
                    .encode(format!("\0u{user}\0pw{user}"));
                c.out.extend_from_slice(format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{a}</auth>").as_bytes());
                c.flush().await?;
                c.until(early, |x| matches!(x, Ev::Success)).await?;
                c.header();
                c.flush().await?;
                c.until(early, |x| matches!(x, Ev::Features)).await?;
                c.out.extend_from_slice(b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>");
                c.flush().await?;
                c.until(early, |x| matches!(x, Ev::IqResult)).await?;
                if cfg.sm {
                    c.out.extend_from_slice(b"<enable xmlns='urn:xmpp:sm:3'/>");
                    c.flush().await?;
                    c.until(early, |x| matches!(x, Ev::Enabled)).await?;
                }
                c.out.extend_from_slice(b"<presence/>");
                c.sm_base = 1;
                if ready {
                    c.out.extend_from_slice(
                        b"<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>",
                    );
                    c.sm_base = 2;
                    c.flush().await?;
                    c.until(early, |x| matches!(x, Ev::IqResult | Ev::IqError)).await?;
                } else {
                    c.flush().await?;
                }
            }
            Proto::Mqtt => {
                if cfg.tls.is_some() {
                    c.tls(cfg).await?;
                }
                let (id, pw) = (format!("u{user}"), format!("pw{user}"));
                let mut v = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 0xC0, 0, 0];
                for s in [&id, &id, &pw] {
                    v.extend_from_slice(&(s.len() as u16).to_be_bytes());
                    v.extend_from_slice(s.as_bytes());
                }
                c.out.push(0x10);
                c.out.push(v.len() as u8);
                c.out.extend_from_slice(&v);
                c.flush().await?;
                match c.until(early, |x| matches!(x, Ev::Connack(_))).await? {
                    Ev::Connack(0) => {}
                    x => return Err(err(format!("{x:?}"))),
                }
                if subscribe {
                    let t = format!("u/{user}");
                    c.out.push(0x82);
                    c.out.push((2 + 2 + t.len() + 1) as u8);
                    c.out.extend_from_slice(&[0, 1, 0, t.len() as u8]);
                    c.out.extend_from_slice(t.as_bytes());
                    c.out.push(1);
                    c.flush().await?;
                    c.until(early, |x| matches!(x, Ev::Suback)).await?;
                }
            }
            Proto::Nats => {
                c.until(early, |x| matches!(x, Ev::Info)).await?;
                if cfg.tls.is_some() {
                    c.tls(cfg).await?;
                }
                c.out.extend_from_slice(format!("CONNECT {{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"user\":\"u{user}\",\"pass\":\"pw{user}\",\"lang\":\"x\",\"version\":\"1\"}}\r\nSUB _INBOX.u{user} 2\r\nSUB dl.{user} 1\r\nPING\r\n").as_bytes());
                c.flush().await?;
                c.until(early, |x| matches!(x, Ev::Pong)).await?;
            }
        }
        Ok(c)
    }
    /// JetStream API request (admin use).
    pub async fn api(&mut self, subject: &str, json: &str) -> Result<String> {
        self.out.extend_from_slice(
            format!(
                "SUB _INBOX.api{0} 3\r\nPUB {1} _INBOX.api{0} {2}\r\n{3}\r\n",
                self.user,
                subject,
                json.len(),
                json
            )
            .as_bytes(),
        );
        self.flush().await?;
        match self.until(&mut vec![], |x| matches!(x, Ev::ApiReply(_))).await? {
            Ev::ApiReply(s) => Ok(s),
            _ => unreachable!(),
        }
    }
    /// Queue one message to user `to`. `want_ack`: ask for an acceptance ack now (XMPP only; the others always ack).
    pub fn send(&mut self, to: u32, ts: u64, id: u64, r_every: u32) {
        use std::io::Write;
        let b = body(ts, id);
        match self.proto {
            Proto::Xmpp => {
                write!(self.out, "<message to='u{to}@localhost' type='chat' id='{id:x}'><body>")
                    .unwrap();
                self.out.extend_from_slice(&b);
                self.out.extend_from_slice(b"</body></message>");
                self.since_r += 1;
                if self.sm && self.since_r >= r_every {
                    self.req_ack();
                }
            }
            Proto::Mqtt => {
                let t = format!("u/{to}");
                self.mqtt_pid = if self.mqtt_pid == 65535 { 1 } else { self.mqtt_pid + 1 };
                let n = 2 + t.len() + 2 + BODY;
                self.out.push(0x32);
                self.out.push((n % 128) as u8 | 0x80);
                self.out.push((n / 128) as u8);
                self.out.extend_from_slice(&(t.len() as u16).to_be_bytes());
                self.out.extend_from_slice(t.as_bytes());
                self.out.extend_from_slice(&self.mqtt_pid.to_be_bytes());
                self.out.extend_from_slice(&b);
            }
            Proto::Nats => {
                write!(self.out, "PUB box.{to} _INBOX.u{} {}\r\n", self.user, BODY).unwrap();
                self.out.extend_from_slice(&b);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }
    pub fn req_ack(&mut self) {
        if self.proto == Proto::Xmpp && self.sm {
            self.since_r = 0;
            self.out.extend_from_slice(b"<r xmlns='urn:xmpp:sm:3'/>");
        }
    }
    fn sm_a(&mut self) {
        let s = format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", self.sm_in);
        self.out.extend_from_slice(s.as_bytes());
    }
    pub async fn close(mut self) {
        match self.proto {
            Proto::Xmpp => {
                if self.sm {
                    self.sm_a();
                }
                self.out.extend_from_slice(b"</stream:stream>");
            }
            Proto::Mqtt => self.out.extend_from_slice(&[0xE0, 0]),
            Proto::Nats => self.out.extend_from_slice(b"PING\r\n"),
        }
        if self.flush().await.is_err() {
            return;
        }
        let _ = tokio::time::timeout(std::time::Duration::from_secs(5), async {
            loop {
                match self.next() {
                    Ok(Some(Ev::End | Ev::Pong)) | Err(_) => break,
                    Ok(Some(_)) => continue,
                    Ok(None) => {}
                }
                if self.fill().await.is_err() {
                    break;
                }
            }
        })
        .await;
        let _ = self.io.shutdown().await;
    }

    pub fn next(&mut self) -> Result<Option<Ev>> {
        match self.proto {
            Proto::Xmpp => self.next_xmpp(),
            Proto::Mqtt => self.next_mqtt(),
            Proto::Nats => self.next_nats(),
        }
    }
}

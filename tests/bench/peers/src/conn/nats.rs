//! NATS: the next line, and what belongs to it.

use std::io::Result;

use bytes::Buf;

use super::{Conn, Ev, err, parse_body};

impl Conn {
    pub(super) fn next_nats(&mut self) -> Result<Option<Ev>> {
        loop {
            let Some(e) = memchr::memmem::find(&self.buf, b"\r\n") else { return Ok(None) };
            let line = std::str::from_utf8(&self.buf[..e]).map_err(|_| err("utf8"))?.to_string();
            if line.starts_with("MSG ") || line.starts_with("HMSG ") {
                let h = line.starts_with('H');
                let f: Vec<&str> = line.split_ascii_whitespace().collect();
                let n: usize = f[f.len() - 1].parse().map_err(|_| err("len"))?;
                if self.buf.len() < e + 2 + n + 2 {
                    return Ok(None);
                }
                let hl: usize = if h { f[f.len() - 2].parse().unwrap_or(0) } else { 0 };
                let pl = &self.buf[e + 2 + hl..e + 2 + n];
                let reply = if f.len() - h as usize == 5 { Some(f[3]) } else { None };
                let ev = match f[2] {
                    "1" => {
                        if let Some(r) = reply {
                            self.out.extend_from_slice(format!("PUB {r} 0\r\n\r\n").as_bytes());
                        }
                        parse_body(pl).map(|(ts, id)| Ev::Msg { ts, id })
                    }
                    "2" => {
                        if h || memchr::memmem::find(pl, b"\"error\"").is_some() {
                            Some(Ev::MsgError)
                        } else {
                            Some(Ev::Acked(1))
                        }
                    }
                    _ => Some(Ev::ApiReply(String::from_utf8_lossy(pl).to_string())),
                };
                self.buf.advance(e + 2 + n + 2);
                if let Some(ev) = ev {
                    return Ok(Some(ev));
                }
                continue;
            }
            self.buf.advance(e + 2);
            if line == "PING" {
                self.out.extend_from_slice(b"PONG\r\n");
            } else if line == "PONG" {
                return Ok(Some(Ev::Pong));
            } else if line.starts_with("INFO") {
                return Ok(Some(Ev::Info));
            } else if line.starts_with("-ERR") {
                return Err(err(line));
            }
        }
    }
}

//! XMPP: the next stanza.

use std::io::Result;

use bytes::Buf;

use super::{Conn, Ev, err, parse_body};

impl Conn {
    pub(super) fn next_xmpp(&mut self) -> Result<Option<Ev>> {
        loop {
            // find the end of the next top-level element
            let mut done = 0usize;
            let mut hdr = false;
            let mut end = false;
            while let Some(i) = memchr::memchr(b'<', &self.buf[self.scan..]) {
                let s = self.scan + i;
                let Some(j) = memchr::memchr(b'>', &self.buf[s..]) else {
                    self.scan = s;
                    break;
                };
                let e = s + j;
                let b = &self.buf;
                if b[s + 1] == b'?' {
                    self.scan = e + 1;
                    continue;
                }
                if b[s + 1] == b'/' {
                    self.depth -= 1;
                    self.scan = e + 1;
                    if self.depth == 0 {
                        end = true;
                        done = e + 1;
                        break;
                    }
                    if self.depth == 1 {
                        done = e + 1;
                        break;
                    }
                    continue;
                }
                self.scan = e + 1;
                if b[e - 1] == b'/' {
                    if self.depth == 1 {
                        done = e + 1;
                        break;
                    }
                    continue;
                }
                self.depth += 1;
                if self.depth == 1 {
                    hdr = true;
                    done = e + 1;
                    break;
                }
            }
            if done == 0 {
                return Ok(None);
            }
            if hdr {
                self.buf.advance(done);
                self.scan = 0;
                return Ok(Some(Ev::Header));
            }
            if end {
                self.buf.advance(done);
                self.scan = 0;
                return Ok(Some(Ev::End));
            }
            let st = self.buf.split_to(done);
            self.scan = 0;
            let st = &st[memchr::memchr(b'<', &st).unwrap_or(0)..];
            let open = &st[..memchr::memchr(b'>', st).unwrap()];
            let has = |n: &[u8]| memchr::memmem::find(open, n).is_some();
            if st.starts_with(b"<message") {
                self.sm_in += 1;
                if has(b"type='error'") || has(b"type=\"error\"") {
                    return Ok(Some(Ev::MsgError));
                }
                if let Some(p) = memchr::memmem::find(st, b"<body>") {
                    if let Some((ts, id)) = parse_body(&st[p + 6..]) {
                        return Ok(Some(Ev::Msg { ts, id }));
                    }
                }
                continue;
            }
            if st.starts_with(b"<iq") {
                self.sm_in += 1;
                if has(b"type='error'") || has(b"type=\"error\"") {
                    return Ok(Some(Ev::IqError));
                }
                if has(b"type='result'") || has(b"type=\"result\"") {
                    return Ok(Some(Ev::IqResult));
                }
                continue;
            }
            if st.starts_with(b"<presence") {
                self.sm_in += 1;
                continue;
            }
            if st.starts_with(b"<r ") || st.starts_with(b"<r/") {
                self.sm_a();
                continue;
            }
            if st.starts_with(b"<a ") {
                let p = memchr::memmem::find(st, b" h=").ok_or_else(|| err("no h"))?;
                let h: u32 = st[p + 4..]
                    .iter()
                    .take_while(|c| c.is_ascii_digit())
                    .fold(0, |a, c| a * 10 + (c - b'0') as u32);
                let acked = h.saturating_sub(self.sm_base);
                let d = acked.saturating_sub(self.sm_acked);
                self.sm_acked = acked.max(self.sm_acked);
                if d > 0 {
                    return Ok(Some(Ev::Acked(d)));
                }
                continue;
            }
            if st.starts_with(b"<stream:features") {
                return Ok(Some(Ev::Features));
            }
            if st.starts_with(b"<proceed") {
                return Ok(Some(Ev::Proceed));
            }
            if st.starts_with(b"<success") {
                return Ok(Some(Ev::Success));
            }
            if st.starts_with(b"<failure") {
                return Ok(Some(Ev::Failure));
            }
            if st.starts_with(b"<enabled") {
                self.sm_in = 0;
                return Ok(Some(Ev::Enabled));
            }
            if st.starts_with(b"<stream:error") {
                return Err(err(String::from_utf8_lossy(st).to_string()));
            }
        }
    }
}

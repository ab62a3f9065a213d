//! MQTT: the next packet.

use std::io::Result;

use super::{Conn, Ev, parse_body};

impl Conn {
    pub(super) fn next_mqtt(&mut self) -> Result<Option<Ev>> {
        loop {
            let b = &self.buf[..];
            if b.len() < 2 {
                return Ok(None);
            }
            let (mut n, mut k) = (0usize, 1usize);
            loop {
                if k >= b.len() {
                    return Ok(None);
                }
                n |= ((b[k] & 0x7f) as usize) << (7 * (k - 1));
                k += 1;
                if b[k - 1] < 0x80 {
                    break;
                }
            }
            if b.len() < k + n {
                return Ok(None);
            }
            let p = self.buf.split_to(k + n);
            let t = p[0];
            let p = &p[k..];
            match t >> 4 {
                2 => return Ok(Some(Ev::Connack(p[1]))),
                3 => {
                    let tl = u16::from_be_bytes([p[0], p[1]]) as usize;
                    let mut o = 2 + tl;
                    if t & 6 != 0 {
                        self.out.extend_from_slice(&[0x40, 2, p[o], p[o + 1]]);
                        o += 2;
                    }
                    if let Some((ts, id)) = parse_body(&p[o..]) {
                        return Ok(Some(Ev::Msg { ts, id }));
                    }
                }
                4 => return Ok(Some(Ev::Acked(1))),
                9 => return Ok(Some(Ev::Suback)),
                _ => {}
            }
        }
    }
}

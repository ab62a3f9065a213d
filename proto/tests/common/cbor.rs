//! CBOR as the tests write it by hand, and its diagnostic notation (RFC 8949, section 8). Knows
//! nothing of the crate's own codec.

use super::hex;

/// Diagnostic notation of one item in our form.
pub(crate) fn diagnostic(bytes: &[u8]) -> String {
    let mut rest = bytes;
    let text = item(&mut rest);
    assert!(rest.is_empty(), "bytes follow the item");
    text
}

fn item(rest: &mut &[u8]) -> String {
    let (major, argument) = head(rest);
    let count = argument as usize;
    match major {
        0 => argument.to_string(),
        2 => format!("h'{}'", hex(take(rest, count))),
        3 => format!("{:?}", core::str::from_utf8(take(rest, count)).expect("UTF-8")),
        4 => format!("[{}]", list(count, || item(rest))),
        5 => format!("{{{}}}", list(count, || format!("{}: {}", item(rest), item(rest)))),
        7 => ["false", "true", "null"][count - 20].to_owned(),
        other => panic!("major type {other} is not in use"),
    }
}

fn list(count: usize, mut next: impl FnMut() -> String) -> String {
    (0..count).map(|_| next()).collect::<Vec<_>>().join(", ")
}

fn head(rest: &mut &[u8]) -> (u8, u64) {
    let first = take(rest, 1)[0];
    let argument = match first & 0x1f {
        small @ 0..=23 => u64::from(small),
        info => take(rest, 1 << (info - 24)).iter().fold(0, |n, b| (n << 8) | u64::from(*b)),
    };
    (first >> 5, argument)
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (head, tail) = rest.split_at(count);
    *rest = tail;
    head
}

/// `map` (fewer than 23 entries, keys below 200) with one entry more at its end.
pub(crate) fn with_extra_key(map: &[u8], value: &[u8]) -> Vec<u8> {
    assert!((0xa0..0xb7).contains(&map[0]), "a small map");
    [&[map[0] + 1], &map[1..], &[0x18, 200], value].concat()
}

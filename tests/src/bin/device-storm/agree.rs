//! What is to be the same in the end.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use postroad_client::State;

use crate::device::Device;
use crate::{LAST, Storm};

/// What a device shows of its one conversation: text and direction, whether it was seen, by id.
type Shows = BTreeMap<String, (Option<String>, bool)>;

fn shows(device: &Device) -> Shows {
    let messages = device.messages();
    let count = messages.len();
    let shown: Shows =
        messages.into_iter().map(|m| (m.id.to_string(), (m.text, m.outgoing))).collect();
    assert_eq!(count, shown.len(), "{}: something shows twice", device.name);
    shown
}

pub(crate) fn agree(storm: &Storm) {
    let seed = storm.seed;
    let sides = ["bob", "alice"].map(|contact| storm.of(contact));
    let first = shows(&storm.devices[sides[0][0]]);
    for (side, turned) in sides.iter().zip([false, true]) {
        for place in side {
            let device = &storm.devices[*place];
            let own: Shows = shows(device)
                .into_iter()
                .map(|(id, (text, outgoing))| (id, (text, outgoing != turned)))
                .collect();
            assert_eq!(own, first, "seed {seed}: {}", device.name);
        }
        settled(storm, side);
    }
    // Nothing that was written after a device was revoked came to it.
    for revoked in storm.devices.iter().filter(|device| device.revoked) {
        let later = ["b4", "b5", "a4"].iter().map(|name| revoked.has_of(name)).sum::<usize>();
        let is_last = revoked.name == "a2";
        let allowed = if is_last { revoked.has_of("b4") + revoked.has_of("b5") } else { 0 };
        assert_eq!(later, allowed, "seed {seed}: {}", revoked.name);
    }
}

/// Names, settings, drafts, what was seen and how far messages are come to be the same.
fn settled(storm: &Storm, side: &[usize]) {
    let standing = |place: &usize| {
        let device = &storm.devices[*place];
        let mut client = device.client();
        let contacts: Vec<_> =
            client.contacts().unwrap().into_iter().map(|c| (c.account, c.name)).collect();
        let messages = device.messages();
        let gaps = messages.iter().filter(|m| m.missing_before + m.lost_before > 0).count();
        let seen: BTreeMap<String, (bool, State)> = messages
            .into_iter()
            .map(|m| (m.id.to_string(), (m.shown || m.outgoing, m.state)))
            .collect();
        (contacts, client.settings().unwrap(), client.drafts().unwrap(), gaps, seen)
    };
    let end = Instant::now() + LAST;
    loop {
        let all: Vec<_> = side.iter().map(standing).collect();
        let is_over = |state: &State| matches!(state, State::Delivered | State::Read);
        let arrived = all.iter().all(|(_, _, _, gaps, seen)| {
            *gaps == 0 && seen.values().all(|(_, state)| is_over(state))
        });
        if arrived && all.iter().all(|one| *one == all[0]) {
            return;
        }
        if Instant::now() > end {
            storm.tell();
            for one in &all {
                let open: Vec<_> = one.4.iter().filter(|(_, (_, state))| !is_over(state)).collect();
                let (contacts, settings, drafts, gaps) = (&one.0, &one.1, &one.2, one.3);
                eprintln!("{contacts:?} {settings:?} {drafts:?} {gaps} gaps; on the way: {open:?}");
                let differs = one.4.iter().filter(|(id, value)| all[0].4.get(*id) != Some(value));
                eprintln!("differs: {:?}", differs.take(5).collect::<Vec<_>>());
            }
            panic!("seed {}: the devices do not agree", storm.seed);
        }
        thread::sleep(Duration::from_millis(500));
    }
}

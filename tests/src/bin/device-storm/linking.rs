//! Commands that take a while, and are killed meanwhile.

use std::time::Instant;

use postroad_proto::link::NodeLink;
use postroad_tests::Person;
use postroad_tests::link::Shown;

use crate::device::Device;
use crate::{LAST, Storm};

impl Storm {
    /// Links another device to the account of `first`, while the rest goes on.
    pub(crate) fn link(&mut self, first: usize, name: &str) {
        let person = Person::new(name);
        // The last device may have had all before that was noted on this side.
        let mut shown = Shown::anew(&self.devices[first].person);
        let mut joining = person.spawn(&["device", "join", &shown.link, "--name", name]);
        let end = Instant::now() + LAST;
        loop {
            // Both are killed now and then, and the same command goes on.
            self.pause();
            match self.draw(6) {
                0 => {
                    joining.kill().unwrap();
                    joining.wait().unwrap();
                    joining = person.spawn(&["device", "join", &shown.link, "--name", name]);
                    self.count("joins killed");
                }
                1 if !shown.is_over() => {
                    drop(shown);
                    shown = Shown::new(&self.devices[first].person);
                    self.count("links killed");
                }
                2 => self.kill_node(),
                _ => {}
            }
            if let Some(status) = joining.try_wait().unwrap() {
                if status.success() {
                    break;
                }
                // It had all before it was killed.
                let again = person.run(&["device", "join", &shown.link]);
                if again.error["code"] == "already_joined" || again.code == 0 {
                    break;
                }
                assert_eq!(again.error["code"], "unreachable", "seed {}: {again:?}", self.seed);
                joining = person.spawn(&["device", "join", &shown.link, "--name", name]);
            }
            assert!(Instant::now() < end, "seed {}: {name} is not linked", self.seed);
        }
        let mut device = Device::new(name, person, self.devices[first].contact);
        device.start();
        self.devices.push(device);
        self.count("linked");
    }

    /// Moves the account to another node, by one of its devices, while the rest goes on.
    pub(crate) fn moves(&mut self, which: usize) {
        let who = self.devices[which].person.ok(&["whoami"]);
        let home: NodeLink = who["node"].as_str().unwrap().parse().unwrap();
        let home = home.node.to_string();
        let others: Vec<usize> =
            (0..self.network.nodes.len()).filter(|n| self.network.nodes[*n].id() != home).collect();
        let to = others[self.draw(others.len())];
        let link = self.network.nodes[to].link();
        let args = ["move", &link, "--no-handle"];
        let mut moving = self.devices[which].person.spawn(&args);
        let end = Instant::now() + LAST;
        loop {
            self.pause();
            match self.draw(5) {
                0 => {
                    moving.kill().unwrap();
                    moving.wait().unwrap();
                    moving = self.devices[which].person.spawn(&args);
                    self.count("moves killed");
                }
                1 => self.kill_node(),
                2 => {
                    let other = self.draw(self.devices.len());
                    self.kill_device(other);
                }
                _ => {}
            }
            if let Some(status) = moving.try_wait().unwrap() {
                let again = (!status.success()).then(|| self.devices[which].person.run(&args));
                match again {
                    Some(again) if again.code != 0 => {
                        // It may have to hear first that the device that was linked last has all.
                        let code = again.error["code"].as_str().unwrap_or_default();
                        let is_later = ["unreachable", "not_now"].contains(&code);
                        assert!(is_later, "seed {}: {again:?}", self.seed);
                        moving = self.devices[which].person.spawn(&args);
                    }
                    _ => break,
                }
            }
            assert!(Instant::now() < end, "seed {}: it is not moved", self.seed);
        }
        self.count("moved");
    }
}

//! What goes wrong, and when: all of it from the seed.

use postroad_store::{Files, JournalFile, SimFiles};

use super::{DAY, Event, HOUR, MINUTE, SECOND, World};

/// A turn for the worse, or for the better.
#[derive(Debug)]
pub enum Turn {
    Next,
    /// These cuts heal.
    Heal(Vec<(usize, usize)>),
    /// A node's road is fast again.
    Fast(usize),
    /// A disk has room again.
    Room(usize),
    /// A clock is set right, roughly.
    Clock(usize),
    /// A node's disk is copied.
    Copy(usize),
}

/// Mean time between two copies of one disk.
const COPIES: u64 = 10 * HOUR;
/// How far clocks may differ at any time.
const USUAL_SKEW: u64 = 5 * MINUTE;

impl World {
    pub(super) fn begin_faults(&mut self) {
        if self.plan.trouble == 0 {
            return;
        }
        // First everybody finds their feet.
        self.after(10 * MINUTE, Event::Fault(Turn::Next));
        for node in 0..self.plan.nodes {
            let wait = self.dice.gap(COPIES / 2) + 6 * MINUTE;
            self.after(wait, Event::Fault(Turn::Copy(node)));
            self.set_usual_clock(node);
        }
    }

    pub(super) fn on_fault(&mut self, turn: Turn) {
        if self.calm {
            return;
        }
        match turn {
            Turn::Next => {
                self.something_happens();
                let wait = self.dice.gap(self.plan.trouble);
                self.after(wait, Event::Fault(Turn::Next));
            }
            Turn::Heal(cuts) => self.heal(&cuts),
            Turn::Fast(node) => {
                self.roads.slow.remove(&node);
            }
            Turn::Room(node) => self.hosts[node].house.files.set_capacity(None),
            Turn::Clock(node) => self.set_usual_clock(node),
            Turn::Copy(node) => {
                if let Ok(copied) = copy(&self.hosts[node].house.files) {
                    self.hosts[node].copy = Some(copied);
                }
                let wait = self.dice.gap(COPIES);
                self.after(wait, Event::Fault(Turn::Copy(node)));
            }
        }
    }

    fn something_happens(&mut self) {
        let node = self.dice.below(self.plan.nodes as u64) as usize;
        let name = match self.dice.below(100) {
            0..=9 => self.crash(node, false),
            10..=17 => self.crash(node, true),
            18..=25 => self.power_fails_at_sync(node),
            26..=29 => self.sync_fails(node),
            30..=33 => self.long_down(node),
            34..=36 => self.roll_back(node),
            37 => self.lose_disk(node),
            38..=43 => self.disk_fills(node),
            44..=57 => {
                self.note("a connection breaks".into());
                self.break_one();
                "connection broken"
            }
            58..=67 => self.partition(),
            68..=73 => self.cut_one_way(node),
            74..=81 => self.slow_road(node),
            82..=87 => self.clock_drifts(node),
            88 => self.clock_wrong(node),
            _ => return self.forge_record(),
        };
        self.tally.fault(name);
    }

    fn crash(&mut self, node: usize, power: bool) -> &'static str {
        if self.hosts[node].is_up() {
            let wait = self.dice.within(SECOND, 2 * MINUTE);
            self.stop(node, power, wait);
        }
        if power { "power loss" } else { "kill" }
    }

    fn power_fails_at_sync(&mut self, node: usize) -> &'static str {
        let syncs = self.dice.below(3);
        self.note(format!("node {node} will lose its power in a sync"));
        self.hosts[node].house.files.cut_power_at_sync(syncs);
        "power loss in a sync"
    }

    fn sync_fails(&mut self, node: usize) -> &'static str {
        self.note(format!("node {node}'s next sync fails"));
        self.hosts[node].house.files.fail_next_sync(1);
        "failed sync"
    }

    fn long_down(&mut self, node: usize) -> &'static str {
        if self.hosts[node].is_up() {
            let wait = self.dice.within(10 * MINUTE, 20 * HOUR);
            self.note(format!("node {node} goes away for {} min", wait / MINUTE));
            self.stop(node, false, wait);
        }
        "down for hours"
    }

    fn roll_back(&mut self, node: usize) -> &'static str {
        // Without an earlier copy there is nothing to restore.
        if !self.hosts[node].is_up() || self.hosts[node].copy.is_none() {
            return self.crash(node, false);
        }
        let Some(earlier) = self.hosts[node].copy.take() else { return "kill" };
        self.note(format!("node {node} is restored from an earlier copy"));
        self.replace_disk(node, earlier);
        "rollback"
    }

    /// Nothing is left but the node's key.
    fn lose_disk(&mut self, node: usize) -> &'static str {
        // Everybody has an account before there is anything to lose.
        if !self.hosts[node].is_up() || self.hosts[node].copy.is_none() {
            return self.crash(node, false);
        }
        self.note(format!("node {node}'s disk is lost"));
        self.replace_disk(node, salted(SimFiles::new()));
        "disk lost"
    }

    fn replace_disk(&mut self, node: usize, disk: SimFiles) {
        let wait = self.dice.within(SECOND, 5 * MINUTE);
        self.stop(node, false, wait);
        self.hosts[node].house.files = disk;
        self.hosts[node].rolled_back = true;
        self.checker.replaced(node);
    }

    fn disk_fills(&mut self, node: usize) -> &'static str {
        let files = self.hosts[node].house.files.clone();
        let spare = self.dice.below(512 << 10);
        self.note(format!("node {node}'s disk has {spare} bytes left"));
        files.set_capacity(Some(files.used() + spare));
        let wait = self.dice.within(MINUTE, HOUR);
        self.after(wait, Event::Fault(Turn::Room(node)));
        "disk full"
    }

    fn partition(&mut self) -> &'static str {
        let nodes = self.plan.nodes;
        let there: Vec<bool> = (0..nodes).map(|_| self.dice.once_in(3)).collect();
        let pairs = (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b)));
        let cuts = pairs.filter(|(a, b)| there[*a] != there[*b]).collect();
        self.cut(cuts, 2 * HOUR);
        "partition"
    }

    fn cut_one_way(&mut self, node: usize) -> &'static str {
        let outwards = self.dice.once_in(2);
        let mut cuts = Vec::new();
        for other in (0..self.plan.nodes).filter(|other| *other != node) {
            if !self.dice.once_in(3) {
                cuts.push(if outwards { (node, other) } else { (other, node) });
            }
        }
        self.cut(cuts, HOUR);
        "one-way partition"
    }

    fn cut(&mut self, cuts: Vec<(usize, usize)>, longest: u64) {
        self.note(format!("cut: {cuts:?}"));
        self.roads.cut.extend(cuts.iter().copied());
        self.break_cut();
        let wait = self.dice.within(10 * SECOND, longest);
        self.after(wait, Event::Fault(Turn::Heal(cuts)));
    }

    fn heal(&mut self, cuts: &[(usize, usize)]) {
        self.note(format!("healed: {cuts:?}"));
        for cut in cuts {
            self.roads.cut.remove(cut);
        }
    }

    fn slow_road(&mut self, node: usize) -> &'static str {
        self.note(format!("node {node}'s road is slow"));
        self.roads.slow.insert(node);
        let wait = self.dice.within(MINUTE, HOUR);
        self.after(wait, Event::Fault(Turn::Fast(node)));
        "slow road"
    }

    fn clock_drifts(&mut self, node: usize) -> &'static str {
        self.set_usual_clock(node);
        "clock set"
    }

    fn set_usual_clock(&mut self, node: usize) {
        let skew = self.dice.below(2 * USUAL_SKEW) as i64 - USUAL_SKEW as i64;
        self.note(format!("node {node}'s clock is {skew} ms ahead"));
        self.set_clock(node, skew);
    }

    fn clock_wrong(&mut self, node: usize) -> &'static str {
        let ahead = self.dice.once_in(2);
        self.note(format!(
            "node {node}'s clock is a day {}",
            if ahead { "ahead" } else { "behind" }
        ));
        self.hosts[node].skewed = true;
        self.loosen(node);
        self.set_clock(node, if ahead { DAY as i64 } else { -(DAY as i64) });
        let wait = self.dice.within(10 * MINUTE, 3 * HOUR);
        self.after(wait, Event::Fault(Turn::Clock(node)));
        "clock a day wrong"
    }

    /// All faults are over, and everybody is there.
    pub(super) fn heal_all(&mut self) {
        self.note("all heals".into());
        self.calm = true;
        self.roads.cut.clear();
        self.roads.slow.clear();
        for node in 0..self.plan.nodes {
            self.hosts[node].house.files.set_capacity(None);
            self.hosts[node].house.files.fail_next_sync(0);
            if self.plan.trouble > 0 {
                self.set_usual_clock(node);
            }
            if !self.hosts[node].is_up() {
                self.start(node);
            }
        }
        self.wake_everybody();
    }
}

/// What a disk holds now, as a disk of its own. A disk without power cannot be copied.
fn copy(files: &SimFiles) -> std::io::Result<SimFiles> {
    let copied = SimFiles::new();
    for name in files.list_names() {
        let size = files.open(&name)?.size()?;
        let file = copied.create(&name, size)?;
        let contents = files.contents(&name);
        if !contents.is_empty() {
            file.write_at(&contents, 0)?;
        }
        file.sync()?;
    }
    copied.sync_dir()?;
    Ok(salted(copied))
}

/// Segments written from here on are salted otherwise than those of the disk before.
fn salted(files: SimFiles) -> SimFiles {
    for _ in 0..1000 {
        files.salt();
    }
    files
}

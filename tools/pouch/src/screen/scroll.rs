//! Which lines of a list of blocks are on the screen.

use core::ops::Range;

/// Blocks of lines below each other, seen through a window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scroll {
    /// The name of each block.
    rows: Vec<i64>,
    /// The line at which each block starts; one more for the end.
    starts: Vec<usize>,
    /// The window's first line, unless it is at the end.
    top: Option<usize>,
    height: usize,
}

impl Scroll {
    /// New blocks, or others than before: what is at the top of the window stays there, and a
    /// window at the end stays at the end.
    pub(crate) fn lay_out(&mut self, blocks: impl Iterator<Item = (i64, usize)>, height: usize) {
        let held = self.top.and_then(|top| self.at(top)).and_then(|block| {
            let line = self.top? - self.starts.get(block)?;
            Some((*self.rows.get(block)?, line))
        });
        (self.rows, self.starts) = (Vec::new(), vec![0]);
        let mut end = 0;
        for (row, lines) in blocks {
            end += lines;
            self.rows.push(row);
            self.starts.push(end);
        }
        self.height = height;
        self.top = held.and_then(|(row, line)| {
            let block = self.rows.iter().position(|known| *known >= row)?;
            Some(self.starts.get(block)? + line)
        });
        self.clamp();
    }

    fn total(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    fn lowest(&self) -> usize {
        self.total().saturating_sub(self.height)
    }

    fn clamp(&mut self) {
        self.top = self.top.filter(|top| *top < self.lowest());
    }

    /// The first line that is seen.
    pub(crate) fn top(&self) -> usize {
        self.top.unwrap_or_else(|| self.lowest())
    }

    /// Whether the newest is seen, and will be when there is more.
    pub(crate) fn is_at_end(&self) -> bool {
        self.top.is_none()
    }

    /// The block that has this line.
    fn at(&self, line: usize) -> Option<usize> {
        let after = self.starts.partition_point(|start| *start <= line);
        after.checked_sub(1).filter(|block| *block < self.rows.len())
    }

    /// The lines of a block.
    fn lines_of(&self, block: usize) -> Option<Range<usize>> {
        Some(*self.starts.get(block)?..*self.starts.get(block + 1)?)
    }

    /// The blocks of which something is seen.
    pub(crate) fn visible(&self) -> Range<usize> {
        if self.height == 0 || self.rows.is_empty() {
            return 0..0;
        }
        let first = self.at(self.top()).unwrap_or(0);
        let last = self.at((self.top() + self.height).min(self.total()).saturating_sub(1));
        first..last.map_or(first, |last| last + 1)
    }

    /// Where a block starts, and how many of its lines are above the window.
    pub(crate) fn hidden_above(&self, block: usize) -> usize {
        let start = self.starts.get(block).copied().unwrap_or(0);
        self.top().saturating_sub(start)
    }

    /// Whether the last line of a block is seen.
    pub(crate) fn shows_end_of(&self, block: usize) -> bool {
        let end = self.lines_of(block).map_or(0, |lines| lines.end);
        self.height > 0 && end > self.top() && end <= self.top() + self.height
    }

    /// Whether the first line of a block is seen.
    pub(crate) fn shows_start_of(&self, block: usize) -> bool {
        let start = self.lines_of(block).map_or(0, |lines| lines.start);
        start >= self.top() && start < self.top() + self.height
    }

    /// Moves the window by lines.
    pub(crate) fn by(&mut self, lines: isize) {
        self.top = Some(self.top().saturating_add_signed(lines));
        self.clamp();
    }

    /// Moves the window by nearly its height; one line is seen before and after.
    pub(crate) fn page(&mut self, is_down: bool) {
        let page = isize::try_from(self.height.saturating_sub(1).max(1)).unwrap_or(1);
        self.by(if is_down { page } else { -page });
    }

    /// To the newest.
    pub(crate) fn go_to_end(&mut self) {
        self.top = None;
    }

    /// Moves the window so that a block is at its top, if enough comes behind it.
    pub(crate) fn show_first(&mut self, block: usize) {
        self.top = self.lines_of(block).map(|lines| lines.start);
        self.clamp();
    }

    /// Moves the window no further than it takes to see a block, its end rather than its start when
    /// it came from `below`.
    pub(crate) fn show(&mut self, block: usize, from_below: bool) {
        let Some(lines) = self.lines_of(block) else { return };
        let (top, height) = (self.top(), self.height.max(1));
        let target = if lines.len() > height {
            if from_below { lines.end - height } else { lines.start }
        } else if lines.start < top {
            lines.start
        } else if lines.end > top + height {
            lines.end - height
        } else {
            return;
        };
        self.top = Some(target);
        self.clamp();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scroll(heights: &[usize], height: usize) -> Scroll {
        let mut scroll = Scroll::default();
        scroll.lay_out((1..).zip(heights.iter().copied()), height);
        scroll
    }

    #[test]
    fn the_end_is_followed_and_another_place_is_kept() {
        let mut scroll = scroll(&[3; 10], 9);
        assert_eq!((scroll.top(), scroll.visible()), (21, 7..10));
        scroll.lay_out((1..).zip([3; 11]), 9);
        assert_eq!(scroll.visible(), 8..11, "what is new is seen");
        scroll.by(-7);
        assert_eq!((scroll.top(), scroll.visible()), (17, 5..9));
        scroll.lay_out((-1..).zip([3; 13]), 9);
        assert_eq!(scroll.top(), 23, "two older ones came before");
        scroll.lay_out((-1..).zip([3; 20]), 9);
        assert_eq!(scroll.top(), 23, "newer ones came behind");
        scroll.by(1000);
        assert!(scroll.is_at_end());
    }

    #[test]
    fn a_block_is_brought_into_view() {
        let mut scroll = scroll(&[3, 3, 30, 3, 3], 9);
        scroll.show(2, true);
        assert!(scroll.shows_end_of(2) && !scroll.shows_start_of(2));
        scroll.show(2, false);
        assert!(!scroll.shows_end_of(2) && scroll.shows_start_of(2));
        scroll.show(0, true);
        assert_eq!(scroll.top(), 0);
        assert_eq!(scroll.visible(), 0..3);
        scroll.show(4, false);
        assert!(scroll.is_at_end());
    }

    #[test]
    fn nothing_and_no_height_are_no_trouble() {
        let mut empty = scroll(&[], 0);
        empty.page(true);
        empty.page(false);
        empty.show(3, true);
        assert_eq!(empty.visible(), 0..0);
        let mut flat = scroll(&[2, 2], 0);
        flat.page(false);
        assert_eq!(flat.visible(), 0..0);
        assert!(!flat.shows_end_of(1));
    }
}

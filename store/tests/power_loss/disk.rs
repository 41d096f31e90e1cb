//! A disk in memory that forgets what was not synced when the power goes, in the ways that real ones do.
//!
//! Owns the files of one seed. Plain data without SQLite: the glue is in `vfs.rs`.

use std::collections::HashMap;

/// The unit that a disk writes whole, or not at all.
const SECTOR_BYTES: usize = 512;

/// What went wrong, for the glue to translate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The power is gone, or this one operation failed.
    Io,
    /// There is no room for this write.
    Full,
    /// There is no such file.
    Missing,
    /// Another handle holds the lock.
    Locked,
}

/// How the disk behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    /// The operation (write, truncate, sync, create, delete) at which everything stops.
    pub(crate) cut_at: u64,
    /// Whether a sync does anything; without it the disk lies.
    pub(crate) is_syncing: bool,
    /// One in so many operations fails, and the machine lives on; zero: none.
    pub(crate) fault_in: u32,
}

enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate { len: usize },
}

/// Shared memory of a WAL index: one region of SQLite's size, aligned as it wants.
pub(crate) type Region = [u64; 4096];

#[derive(Default)]
struct Inode {
    /// What a read sees.
    live: Vec<u8>,
    /// What is on the platter for sure.
    durable: Vec<u8>,
    /// What was done since, in order.
    pending: Vec<Change>,
    regions: Vec<Box<Region>>,
    sharers: u32,
    is_exclusive: bool,
}

pub(crate) struct Disk {
    inodes: Vec<Inode>,
    live: HashMap<String, usize>,
    durable: HashMap<String, usize>,
    manners: Manners,
    operations: u64,
    is_off: bool,
    random: fastrand::Rng,
}

impl Disk {
    pub(crate) fn new(seed: u64, manners: Manners) -> Self {
        Self {
            inodes: Vec::new(),
            live: HashMap::new(),
            durable: HashMap::new(),
            manners,
            operations: 0,
            is_off: false,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    pub(crate) fn is_off(&self) -> bool {
        self.is_off
    }

    pub(crate) fn cut(&mut self) {
        self.is_off = true;
    }

    /// Every changing operation comes by here: this is where it stops.
    fn operate(&mut self) -> Result<(), Trouble> {
        self.operations += 1;
        if self.operations >= self.manners.cut_at {
            self.is_off = true;
        }
        self.check_power()
    }

    fn check_power(&self) -> Result<(), Trouble> {
        if self.is_off { Err(Trouble::Io) } else { Ok(()) }
    }

    fn has_fault(&mut self) -> bool {
        self.manners.fault_in > 0 && self.random.u32(0..self.manners.fault_in) == 0
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.live.contains_key(name)
    }

    /// Opens a file; a nameless one is temporary.
    pub(crate) fn open(&mut self, name: Option<&str>, may_create: bool) -> Result<usize, Trouble> {
        self.check_power()?;
        if let Some(inode) = name.and_then(|name| self.live.get(name)) {
            return Ok(*inode);
        }
        if !may_create {
            return Err(Trouble::Missing);
        }
        self.operate()?;
        self.inodes.push(Inode::default());
        let inode = self.inodes.len() - 1;
        if let Some(name) = name {
            self.live.insert(name.to_owned(), inode);
        }
        Ok(inode)
    }

    pub(crate) fn delete(&mut self, name: &str, is_synced: bool) -> Result<(), Trouble> {
        self.operate()?;
        self.live.remove(name).ok_or(Trouble::Missing)?;
        if is_synced {
            self.sync_directory();
        }
        Ok(())
    }

    /// The number of bytes read; the rest of `out` is the caller's.
    pub(crate) fn read(
        &self,
        inode: usize,
        offset: usize,
        out: &mut [u8],
    ) -> Result<usize, Trouble> {
        self.check_power()?;
        let there = self.inodes[inode].live.get(offset..).unwrap_or_default();
        let count = there.len().min(out.len());
        out[..count].copy_from_slice(&there[..count]);
        Ok(count)
    }

    pub(crate) fn write(
        &mut self,
        inode: usize,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), Trouble> {
        // A write under way when the power goes may reach the platter in part.
        if !self.is_off {
            let file = &mut self.inodes[inode];
            apply_write(&mut file.live, offset, bytes);
            file.pending.push(Change::Write { offset, bytes: bytes.to_vec() });
        }
        self.operate()?;
        if self.has_fault() {
            return Err(if self.random.bool() { Trouble::Full } else { Trouble::Io });
        }
        Ok(())
    }

    pub(crate) fn truncate(&mut self, inode: usize, len: usize) -> Result<(), Trouble> {
        self.operate()?;
        self.inodes[inode].live.resize(len, 0);
        self.inodes[inode].pending.push(Change::Truncate { len });
        Ok(())
    }

    /// Makes a file durable. A sync that fails forgets what it should have written and calls it clean, as Linux does:
    /// reads go on seeing it, and the next sync succeeds without it.
    pub(crate) fn sync(&mut self, inode: usize, with_directory: bool) -> Result<(), Trouble> {
        self.operate()?;
        if !self.manners.is_syncing {
            return Ok(());
        }
        if self.has_fault() {
            let survivors = survivors(&mut self.random, &mut self.inodes[inode].pending);
            replay(&mut self.inodes[inode].durable, survivors);
            return Err(Trouble::Io);
        }
        let file = &mut self.inodes[inode];
        replay(&mut file.durable, std::mem::take(&mut file.pending));
        if with_directory {
            self.sync_directory();
        }
        Ok(())
    }

    fn sync_directory(&mut self) {
        if self.manners.is_syncing {
            self.durable = self.live.clone();
        }
    }

    pub(crate) fn len(&self, inode: usize) -> Result<usize, Trouble> {
        self.check_power()?;
        Ok(self.inodes[inode].live.len())
    }

    /// A region of shared memory; it is not on the disk, so it works without power too, and its address stays.
    pub(crate) fn region(&mut self, inode: usize, index: usize, extend: bool) -> Option<*mut u64> {
        let regions = &mut self.inodes[inode].regions;
        while extend && regions.len() <= index {
            regions.push(Box::new([0; 4096]));
        }
        regions.get_mut(index).map(|region| region.as_mut_ptr())
    }

    pub(crate) fn drop_regions(&mut self, inode: usize) {
        self.inodes[inode].regions.clear();
    }

    /// Moves a handle from holding nothing (0), shared (1) or exclusive (2) to another of these.
    pub(crate) fn lock(&mut self, inode: usize, held: u8, wanted: u8) -> Result<(), Trouble> {
        let file = &mut self.inodes[inode];
        let others = file.sharers - u32::from(held > 0);
        if (wanted == 2 && others > 0) || (wanted > 0 && file.is_exclusive && held < 2) {
            return Err(Trouble::Locked);
        }
        file.sharers = others + u32::from(wanted > 0);
        file.is_exclusive = wanted == 2 || (file.is_exclusive && held < 2);
        Ok(())
    }

    /// Only the process was killed: the next one finds all that was written, synced or not. It lives for so many operations.
    pub(crate) fn restart(&mut self, operations: u64) {
        for inode in &mut self.inodes {
            inode.regions.clear();
            (inode.sharers, inode.is_exclusive) = (0, false);
        }
        self.is_off = false;
        self.manners.cut_at = self.operations + operations;
    }

    /// The machine comes up again: what was synced is there, of the rest whatever the disk happened to write.
    pub(crate) fn power_on(&mut self) {
        for inode in &mut self.inodes {
            let survivors = survivors(&mut self.random, &mut inode.pending);
            replay(&mut inode.durable, survivors);
            inode.live.clone_from(&inode.durable);
            inode.pending.clear();
            inode.regions.clear();
            (inode.sharers, inode.is_exclusive) = (0, false);
        }
        let mut names: Vec<String> = self.live.keys().chain(self.durable.keys()).cloned().collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let entries = if self.random.bool() { &self.live } else { &self.durable };
            match entries.get(&name).copied() {
                Some(inode) => self.durable.insert(name, inode),
                None => self.durable.remove(&name),
            };
        }
        self.live = self.durable.clone();
        self.is_off = false;
        self.manners = Manners { cut_at: u64::MAX, fault_in: 0, ..self.manners };
    }
}

/// What of unsynced changes reaches the platter: nothing, everything, any sectors, or all up to a torn one.
fn survivors(random: &mut fastrand::Rng, pending: &mut Vec<Change>) -> Vec<Change> {
    let pending = std::mem::take(pending);
    match random.u8(0..4) {
        0 => Vec::new(),
        1 => pending,
        2 => {
            let keep_in_16 = random.u8(1..16);
            let mut kept = Vec::new();
            for change in pending {
                match change {
                    Change::Truncate { .. } if random.bool() => kept.push(change),
                    Change::Truncate { .. } => {}
                    Change::Write { offset, bytes } => {
                        let sectors = sectors(offset, bytes);
                        kept.extend(sectors.filter(|_| random.u8(0..16) < keep_in_16));
                    }
                }
            }
            kept
        }
        _ => {
            let count = random.usize(0..=pending.len());
            let mut kept: Vec<Change> = pending.into_iter().take(count).collect();
            if let Some(Change::Write { bytes, .. }) = kept.last_mut() {
                bytes.truncate(random.usize(0..=bytes.len()) / SECTOR_BYTES * SECTOR_BYTES);
            }
            kept
        }
    }
}

/// A write, cut where sectors end.
fn sectors(offset: usize, bytes: Vec<u8>) -> impl Iterator<Item = Change> {
    let mut start = 0;
    std::iter::from_fn(move || {
        if start == bytes.len() {
            return None;
        }
        let at = offset + start;
        let end = (start + SECTOR_BYTES - at % SECTOR_BYTES).min(bytes.len());
        let piece = bytes[start..end].to_vec();
        start = end;
        Some(Change::Write { offset: at, bytes: piece })
    })
}

fn replay(content: &mut Vec<u8>, changes: Vec<Change>) {
    for change in changes {
        match change {
            Change::Write { offset, bytes } => apply_write(content, offset, &bytes),
            Change::Truncate { len } => content.resize(len, 0),
        }
    }
}

fn apply_write(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

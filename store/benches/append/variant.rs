//! The variants: what each changes, in one line.

use std::path::Path;

use store::Options;

use crate::load::Said;
use crate::product::Product;
use crate::raw::Raw;

/// Something that appends batches, each in one transaction that is on the disk afterwards.
pub(crate) trait Subject {
    fn append(&mut self, batch: &[Said], body: &[u8]);
}

/// How messages lie in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// In the order of arrival, with an index by conversation and seq.
    Arrival,
    /// Clustered by a key of two columns, `WITHOUT ROWID`.
    Clustered,
    /// Clustered by one integer: the conversation's row above, the seq below.
    Place,
    /// As `Arrival`, but client message ids are indexed later, in large sorted pieces.
    Lagging,
    /// As `Lagging`, and the index by conversation and seq too.
    Bare,
    /// In the order of arrival at first, moved to the order of places later, in large sorted pieces.
    Tail,
}

impl Layout {
    /// Whether something is put in order later.
    pub(crate) const fn is_deferred(self) -> bool {
        matches!(self, Self::Lagging | Self::Bare | Self::Tail)
    }
}

/// When the pages of the log are moved into the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checkpoint {
    /// By the commit that finds so many pages in the log.
    Auto(u32),
    /// By another thread on a connection of its own, as soon as there are so many; by the writer beyond four times that.
    Aside(u32),
}

/// Who syncs the log, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    /// SQLite, within the commit.
    Full,
    /// Nobody: not durable, to see what syncing costs.
    Normal,
    /// Another thread, while the next batch is already being written: what a pipeline could gain at the most.
    Piped,
}

/// A schema with its settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) layout: Layout,
    pub(crate) page_bytes: u32,
    pub(crate) cache_bytes: u32,
    pub(crate) mmap_bytes: u64,
    pub(crate) temp_store: &'static str,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) sync: Sync,
    /// Messages in one statement.
    pub(crate) rows: usize,
    /// Messages are written in the order of their places instead of their arrival.
    pub(crate) sorted: bool,
    /// Whether client message ids are kept.
    pub(crate) retries: bool,
}

impl Settings {
    const fn new(layout: Layout) -> Self {
        Self {
            layout,
            page_bytes: 4_096,
            cache_bytes: 32 << 20,
            mmap_bytes: 0,
            temp_store: "DEFAULT",
            checkpoint: Checkpoint::Auto(4_096),
            sync: Sync::Full,
            rows: 1,
            sorted: false,
            retries: true,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Product,
    Raw(Settings),
}

/// One of the things to compare.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    kind: Kind,
}

impl Variant {
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name == name
            || name.strip_suffix('*').is_some_and(|start| self.name.starts_with(start))
    }

    pub(crate) fn open(&self, directory: &Path) -> Box<dyn Subject> {
        match self.kind {
            Kind::Product => Box::new(Product::open(&Options::messages(directory))),
            Kind::Raw(settings) => Box::new(Raw::open(&directory.join("raw.sqlite"), settings)),
        }
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Variant> {
    let raw = |name, about, settings| Variant { name, about, kind: Kind::Raw(settings) };
    let arrival = Settings::new(Layout::Arrival);
    let clustered = Settings::new(Layout::Clustered);
    let place = Settings::new(Layout::Place);
    let aside = |pages, layout| Settings { checkpoint: Checkpoint::Aside(pages), ..layout };
    let wal = |pages, layout| Settings { checkpoint: Checkpoint::Auto(pages), ..layout };
    vec![
        Variant { name: "product", about: "the store as it is", kind: Kind::Product },
        raw("arrival", "rows in order of arrival, an index by conversation and seq", arrival),
        raw("clustered", "WITHOUT ROWID, by conversation and seq", clustered),
        raw("place", "by one integer of conversation and seq", place),
        raw("lagging", "client message ids indexed later", Settings::new(Layout::Lagging)),
        raw("lagging-16k", "with 16,384 pages", wal(16_384, Settings::new(Layout::Lagging))),
        raw("bare-16k", "both indexes later", wal(16_384, Settings::new(Layout::Bare))),
        raw("tail-16k", "clustered later", wal(16_384, Settings::new(Layout::Tail))),
        raw("place-16k", "by one integer, 16,384 pages in the log", wal(16_384, place)),
        raw("no-retries", "what client ids cost", Settings { retries: false, ..arrival }),
        raw("page-1k", "pages of 1 KiB", Settings { page_bytes: 1_024, ..arrival }),
        raw("page-2k", "pages of 2 KiB", Settings { page_bytes: 2_048, ..arrival }),
        raw("page-8k", "pages of 8 KiB", Settings { page_bytes: 8_192, ..arrival }),
        raw("page-16k", "pages of 16 KiB", Settings { page_bytes: 16_384, ..arrival }),
        raw("cache-8m", "a cache of 8 MiB", Settings { cache_bytes: 8 << 20, ..arrival }),
        raw("cache-128m", "a cache of 128 MiB", Settings { cache_bytes: 128 << 20, ..arrival }),
        raw("mmap", "reads through a mapping", Settings { mmap_bytes: 1 << 30, ..arrival }),
        raw("temp-memory", "temp_store", Settings { temp_store: "MEMORY", ..arrival }),
        raw("wal-1k", "1,024 pages in the log", wal(1_024, arrival)),
        raw("wal-16k", "16,384 pages in the log", wal(16_384, arrival)),
        raw("wal-64k", "65,536 pages in the log", wal(65_536, arrival)),
        raw("aside-4k", "checkpoints on another thread", aside(4_096, arrival)),
        raw("aside-16k", "checkpoints on another thread", aside(16_384, arrival)),
        raw("rows-4", "4 messages in a statement", Settings { rows: 4, ..arrival }),
        raw("rows-16", "16 messages in a statement", Settings { rows: 16, ..arrival }),
        raw("sorted", "written by conversation", Settings { sorted: true, ..arrival }),
        raw("normal", "never synced: not durable", Settings { sync: Sync::Normal, ..arrival }),
        raw("piped", "synced meanwhile", Settings { sync: Sync::Piped, ..arrival }),
    ]
}

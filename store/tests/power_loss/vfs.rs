//! The glue between SQLite and [`Disk`]: a virtual file system that is this process's default, so that the real `Writer`
//! runs on it unchanged.
//!
//! Each thread has a disk of its own, and a connection stays on its thread: no call crosses to another one's disk.

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::Once;

use rusqlite::ffi;

use crate::disk::{Disk, Manners, Region, Trouble};

thread_local! {
    static DISK: RefCell<Disk> = RefCell::new(Disk::new(0, Manners {
        cut_at: u64::MAX,
        is_syncing: true,
        fault_in: 0,
    }));
}

/// Gives this thread a new, empty disk.
pub(crate) fn insert(disk: Disk) {
    DISK.set(disk);
}

/// Looks at this thread's disk.
pub(crate) fn with<T>(work: impl FnOnce(&mut Disk) -> T) -> T {
    DISK.with_borrow_mut(work)
}

/// Makes this file system the default one of the process. The first test to come does it, once.
pub(crate) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let vfs = ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: size_of::<Handle>() as c_int,
            mxPathname: 512,
            pNext: ptr::null_mut(),
            zName: c"forgetful".as_ptr(),
            pAppData: ptr::null_mut(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_path_name),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: None,
            xCurrentTimeInt64: Some(current_time_int64),
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        };
        // Lives as long as the process, as SQLite demands.
        let vfs: &'static mut ffi::sqlite3_vfs = Box::leak(Box::new(vfs));
        // SAFETY: `vfs` is complete, its functions match their types, and it is never freed.
        let code = unsafe { ffi::sqlite3_vfs_register(vfs, 1) };
        assert_eq!(code, ffi::SQLITE_OK);
    });
}

/// SQLite's file, followed by what is ours.
#[repr(C)]
struct Handle {
    base: ffi::sqlite3_file,
    inode: usize,
    /// 0 nothing, 1 shared, 2 exclusive.
    held: u8,
    /// Whether the first sync syncs the directory too, as the system's file system does for new logs and journals.
    syncs_directory: bool,
}

const METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};
static METHODS_PLACE: ffi::sqlite3_io_methods = METHODS;

fn code(result: Result<(), Trouble>, io: c_int) -> c_int {
    match result {
        Ok(()) => ffi::SQLITE_OK,
        Err(Trouble::Io) => io,
        Err(Trouble::Full) => ffi::SQLITE_FULL,
        Err(Trouble::Missing) => ffi::SQLITE_CANTOPEN,
        Err(Trouble::Locked) => ffi::SQLITE_BUSY,
    }
}

fn name_of<'a>(name: *const c_char) -> Option<&'a str> {
    if name.is_null() {
        return None;
    }
    // SAFETY: SQLite gives names as C strings that outlive the call.
    let name = unsafe { CStr::from_ptr(name) };
    Some(name.to_str().expect("the tests use names in UTF-8"))
}

/// # Safety
/// `file` must be a file that [`open`] has opened and [`close`] has not closed.
unsafe fn handle<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Handle {
    // SAFETY: as the caller promises; SQLite uses a file from one call at a time.
    unsafe { &mut *file.cast::<Handle>() }
}

fn size(number: impl TryInto<usize>) -> usize {
    number.try_into().ok().expect("SQLite gives sizes and offsets that are not negative")
}

/// # Safety
/// `out` must be valid for a write.
unsafe fn put<T>(out: *mut T, value: T) {
    // SAFETY: as the caller promises.
    unsafe { out.write(value) }
}

unsafe extern "C" fn open(
    _vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let may_create = flags & ffi::SQLITE_OPEN_CREATE != 0;
    let is_log = flags & (ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL) != 0;
    let opened = with(|disk| disk.open(name_of(name), may_create));
    let methods: *const ffi::sqlite3_io_methods =
        if opened.is_ok() { &raw const METHODS_PLACE } else { ptr::null() };
    let handle = Handle {
        base: ffi::sqlite3_file { pMethods: methods },
        inode: *opened.as_ref().unwrap_or(&0),
        held: 0,
        syncs_directory: may_create && is_log,
    };
    // SAFETY: SQLite gives `szOsFile` bytes, aligned for any of its own types.
    unsafe { put(file.cast::<Handle>(), handle) };
    if !out_flags.is_null() {
        // SAFETY: not null, so it is SQLite's variable.
        unsafe { put(out_flags, flags) };
    }
    code(opened.map(drop), ffi::SQLITE_CANTOPEN)
}

unsafe extern "C" fn delete(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    sync_directory: c_int,
) -> c_int {
    let name = name_of(name).expect("SQLite names what it deletes");
    match with(|disk| disk.delete(name, sync_directory != 0)) {
        Err(Trouble::Missing) => ffi::SQLITE_IOERR_DELETE_NOENT,
        result => code(result, ffi::SQLITE_IOERR_DELETE),
    }
}

unsafe extern "C" fn access(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    _flags: c_int,
    out: *mut c_int,
) -> c_int {
    let is_there = name_of(name).is_some_and(|name| with(|disk| disk.exists(name)));
    // SAFETY: SQLite's variable.
    unsafe { put(out, c_int::from(is_there)) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_path_name(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    let name = name_of(name).expect("SQLite asks for names that it has");
    assert!(name.len() < size(room));
    // SAFETY: `out` has `room` bytes, and the name with its end fits, as just asserted.
    unsafe { ptr::copy_nonoverlapping(name.as_ptr().cast(), out, name.len()) };
    // SAFETY: within the `room` bytes, as above.
    let end = unsafe { out.add(name.len()) };
    // SAFETY: as above.
    unsafe { put(end, 0) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn randomness(
    _vfs: *mut ffi::sqlite3_vfs,
    count: c_int,
    out: *mut c_char,
) -> c_int {
    // Always the same: nothing that is tested may hang on it.
    // SAFETY: SQLite gives `count` bytes.
    unsafe { ptr::write_bytes(out, 0x5a, size(count)) };
    count
}

unsafe extern "C" fn sleep(_vfs: *mut ffi::sqlite3_vfs, micros: c_int) -> c_int {
    micros
}

unsafe extern "C" fn current_time(_vfs: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    // SAFETY: SQLite's variable.
    unsafe { put(out, 2_460_000.5) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn current_time_int64(
    _vfs: *mut ffi::sqlite3_vfs,
    out: *mut ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite's variable.
    unsafe { put(out, 212_544_043_200_000) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite closes what was opened.
    let handle = unsafe { handle(file) };
    // A disk that was exchanged meanwhile does not know the file any more; the tests never do that.
    code(with(|disk| disk.lock(handle.inode, handle.held, 0)), ffi::SQLITE_IOERR_CLOSE)
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    out: *mut c_void,
    count: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: an open file.
    let inode = unsafe { handle(file) }.inode;
    // SAFETY: SQLite gives `count` bytes, which it has initialised or does not read before us.
    let out = unsafe { std::slice::from_raw_parts_mut(out.cast::<u8>(), size(count)) };
    match with(|disk| disk.read(inode, size(offset), out)) {
        Ok(read) if read == out.len() => ffi::SQLITE_OK,
        Ok(read) => {
            out[read..].fill(0);
            ffi::SQLITE_IOERR_SHORT_READ
        }
        Err(trouble) => code(Err(trouble), ffi::SQLITE_IOERR_READ),
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    count: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: an open file.
    let inode = unsafe { handle(file) }.inode;
    // SAFETY: SQLite gives `count` bytes.
    let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), size(count)) };
    code(with(|disk| disk.write(inode, size(offset), bytes)), ffi::SQLITE_IOERR_WRITE)
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, len: ffi::sqlite3_int64) -> c_int {
    // SAFETY: an open file.
    let inode = unsafe { handle(file) }.inode;
    code(with(|disk| disk.truncate(inode, size(len))), ffi::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    let result = with(|disk| disk.sync(handle.inode, handle.syncs_directory));
    if result.is_ok() {
        handle.syncs_directory = false;
    }
    code(result, ffi::SQLITE_IOERR_FSYNC)
}

unsafe extern "C" fn file_size(
    file: *mut ffi::sqlite3_file,
    out: *mut ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: an open file.
    let inode = unsafe { handle(file) }.inode;
    let len = with(|disk| disk.len(inode));
    let count = i64::try_from(*len.as_ref().unwrap_or(&0)).expect("a file in memory");
    // SAFETY: SQLite's variable.
    unsafe { put(out, count) };
    code(len.map(drop), ffi::SQLITE_IOERR_FSTAT)
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    let wanted = if level >= ffi::SQLITE_LOCK_EXCLUSIVE { 2 } else { 1 };
    if wanted <= handle.held {
        return ffi::SQLITE_OK;
    }
    let result = with(|disk| disk.lock(handle.inode, handle.held, wanted));
    if result.is_ok() {
        handle.held = wanted;
    }
    code(result, ffi::SQLITE_IOERR_LOCK)
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    let wanted = u8::from(level >= ffi::SQLITE_LOCK_SHARED).min(handle.held);
    let result = with(|disk| disk.lock(handle.inode, handle.held, wanted));
    handle.held = wanted;
    code(result, ffi::SQLITE_IOERR_UNLOCK)
}

unsafe extern "C" fn check_reserved_lock(_file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: SQLite's variable.
    unsafe { put(out, 0) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(
    _file: *mut ffi::sqlite3_file,
    _operation: c_int,
    _argument: *mut c_void,
) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_file: *mut ffi::sqlite3_file) -> c_int {
    // As the system's file system says.
    4096
}

unsafe extern "C" fn device_characteristics(_file: *mut ffi::sqlite3_file) -> c_int {
    // As the system's file system says: a torn write harms no byte beside it.
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    index: c_int,
    bytes: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    assert_eq!(size(bytes), size_of::<Region>());
    // SAFETY: an open file.
    let inode = unsafe { handle(file) }.inode;
    let region = with(|disk| disk.region(inode, size(index), extend != 0));
    // SAFETY: SQLite's variable.
    unsafe { put(out, region.map_or(ptr::null_mut(), <*mut u64>::cast)) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_lock(
    _file: *mut ffi::sqlite3_file,
    _offset: c_int,
    _count: c_int,
    _flags: c_int,
) -> c_int {
    // One thread, and no transaction open in two connections at a time.
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_barrier(_file: *mut ffi::sqlite3_file) {}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    if delete != 0 {
        // SAFETY: an open file.
        let inode = unsafe { handle(file) }.inode;
        with(|disk| disk.drop_regions(inode));
    }
    ffi::SQLITE_OK
}

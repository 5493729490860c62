//! The table of C functions.

use crate::file::{Change, Held, Node, Shared};
use crate::{Disk, Event, State};
use rusqlite::ffi::*;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};

/// Our head of a file, in memory that SQLite allocates.
#[repr(C)]
struct Head {
    base: sqlite3_file,
    opened: *mut Opened,
}

/// A file that is open.
struct Opened {
    disk: Disk,
    name: String,
    /// Which opening.
    number: u64,
    /// In which life of the disk.
    life: u64,
    shared: Arc<Shared>,
}

static OPENINGS: AtomicU64 = AtomicU64::new(0);

/// Registers the layer, the first time.
pub fn register_once() {
    static ONCE: Once = Once::new();
    // SAFETY: SQLite returns its default layer, which lives as long as the process; we copy its plain fields, of which
    // those for time and randomness stay. The new table is never freed, as SQLite demands of a registered layer.
    ONCE.call_once(|| unsafe {
        sqlite3_initialize();
        let platform = sqlite3_vfs_find(ptr::null());
        assert!(!platform.is_null(), "SQLite has a default file layer");
        let vfs = sqlite3_vfs {
            szOsFile: size_of::<Head>() as c_int,
            pNext: ptr::null_mut(),
            zName: c"simulated-disk".as_ptr(),
            pAppData: ptr::null_mut(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_path),
            ..*platform
        };
        let code = sqlite3_vfs_register(Box::into_raw(Box::new(vfs)), 0);
        assert_eq!(code, SQLITE_OK, "SQLite takes the layer");
    });
}

/// The disk of a path, and the file's name on it.
///
/// # Safety
/// `path` ends in a zero byte.
unsafe fn place(path: *const c_char) -> Option<(Disk, String)> {
    // SAFETY: as the caller promises.
    let path = Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes()));
    let name = path.file_name()?.to_str()?.to_string();
    Some((Disk::of(path.parent()?)?, name))
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    path: sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls with memory of `szOsFile` bytes, with a path that ends in zero or none, and with a place for the
    // flags or none.
    unsafe {
        let head = file.cast::<Head>();
        (*head).base.pMethods = ptr::null();
        // A file without a name is for one statement's own use; on which disk, SQLite does not say, and none of the
        // store's statements needs one.
        if path.is_null() {
            return SQLITE_CANTOPEN;
        }
        let Some((disk, name)) = place(path) else { return SQLITE_CANTOPEN };
        let mut state = disk.lock();
        let may_make = flags & SQLITE_OPEN_CREATE != 0;
        if state.fails(|rates| rates.names) || !(may_make || state.files.contains_key(&name)) {
            return SQLITE_CANTOPEN;
        }
        let number = OPENINGS.fetch_add(1, Ordering::Relaxed);
        let node = state.files.entry(name.clone()).or_default();
        node.held.insert(number, Held::default());
        let shared = node.shared.clone();
        let life = state.life;
        drop(state);
        let opened = Opened { disk, name, number, life, shared };
        (*head).opened = Box::into_raw(Box::new(opened));
        (*head).base.pMethods = &METHODS;
        if !out.is_null() {
            *out = flags;
        }
        SQLITE_OK
    }
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, path: *const c_char, sync_folder: c_int) -> c_int {
    // SAFETY: SQLite calls with a path that ends in zero.
    let Some((disk, name)) = (unsafe { place(path) }) else { return SQLITE_IOERR_DELETE };
    let mut state = disk.lock();
    if state.fails(|rates| rates.names) {
        SQLITE_IOERR_DELETE
    } else if state.delete(&name, sync_folder != 0) {
        SQLITE_OK
    } else {
        SQLITE_IOERR_DELETE_NOENT
    }
}

unsafe extern "C" fn access(_: *mut sqlite3_vfs, path: *const c_char, flags: c_int, out: *mut c_int) -> c_int {
    // SAFETY: SQLite calls with a path that ends in zero and a place for the answer.
    unsafe {
        let found = place(path).is_some_and(|(disk, name)| {
            let state = disk.lock();
            // To SQLite an empty file is none, as in its layer for Unix.
            state.files.get(&name).is_some_and(|node| flags != SQLITE_ACCESS_EXISTS || !node.visible.is_empty())
        });
        *out = c_int::from(found);
        SQLITE_OK
    }
}

unsafe extern "C" fn full_path(_: *mut sqlite3_vfs, path: *const c_char, bytes: c_int, out: *mut c_char) -> c_int {
    // SAFETY: SQLite calls with a path that ends in zero and room for so many bytes.
    unsafe {
        let path = CStr::from_ptr(path).to_bytes_with_nul();
        if path.len() > bytes as usize {
            return SQLITE_CANTOPEN;
        }
        ptr::copy_nonoverlapping(path.as_ptr().cast(), out, path.len());
        SQLITE_OK
    }
}

/// What is open.
///
/// # Safety
/// `file` is open, and not closed while the result is used.
unsafe fn opened<'a>(file: *mut sqlite3_file) -> &'a Opened {
    // SAFETY: `open` put it there, `close` alone takes it.
    unsafe { &*(*file.cast::<Head>()).opened }
}

impl Opened {
    /// Works on the disk's state, if this file is not of an earlier life.
    fn with(&self, dead: c_int, work: impl FnOnce(&mut State) -> c_int) -> c_int {
        let mut state = self.disk.lock();
        if state.life == self.life { work(&mut state) } else { dead }
    }
    /// Works on the file; a file that was deleted while open is none.
    fn with_node(&self, dead: c_int, work: impl FnOnce(&mut Node) -> c_int) -> c_int {
        self.with(dead, |state| state.files.get_mut(&self.name).map_or(dead, work))
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite closes an open file once; nothing uses our part of it afterwards.
    let opened = unsafe { Box::from_raw((*file.cast::<Head>()).opened) };
    opened.with(SQLITE_OK, |state| {
        if let Some(node) = state.files.get_mut(&opened.name) {
            node.held.remove(&opened.number);
        }
        SQLITE_OK
    })
}

unsafe extern "C" fn read(file: *mut sqlite3_file, out: *mut c_void, bytes: c_int, at: i64) -> c_int {
    // SAFETY: SQLite calls with an open file and room for so many bytes.
    let (opened, out) = unsafe { (opened(file), std::slice::from_raw_parts_mut(out.cast::<u8>(), bytes as usize)) };
    opened.with(SQLITE_IOERR_READ, |state| {
        if state.fails(|rates| rates.reads) {
            return SQLITE_IOERR_READ;
        }
        let visible = state.files.get(&opened.name).map_or(&[][..], |node| &node.visible);
        let there = visible.get(at as usize..).unwrap_or_default();
        let there = &there[..there.len().min(out.len())];
        out[..there.len()].copy_from_slice(there);
        out[there.len()..].fill(0);
        if there.len() < out.len() { SQLITE_IOERR_SHORT_READ } else { SQLITE_OK }
    })
}

unsafe extern "C" fn write(file: *mut sqlite3_file, data: *const c_void, bytes: c_int, at: i64) -> c_int {
    // SAFETY: SQLite calls with an open file and so many bytes to read.
    let (opened, data) = unsafe { (opened(file), std::slice::from_raw_parts(data.cast::<u8>(), bytes as usize)) };
    let at = at as usize;
    opened.with(SQLITE_IOERR_WRITE, |state| {
        let fitting = state.fitting(&opened.name, at, data.len());
        let (written, code) = if state.fails(|rates| rates.writes) {
            (state.rng.below(fitting as u64 + 1) as usize, SQLITE_IOERR_WRITE)
        } else if fitting < data.len() {
            (fitting, SQLITE_FULL)
        } else {
            (fitting, SQLITE_OK)
        };
        state.happened(|| Event::Write { file: opened.name.clone(), bytes: written });
        let Some(node) = state.files.get_mut(&opened.name) else { return SQLITE_IOERR_WRITE };
        if written > 0 {
            node.change(Change::Write { at, bytes: data[..written].to_vec() });
        }
        code
    })
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, bytes: i64) -> c_int {
    // SAFETY: SQLite calls with an open file.
    let opened = unsafe { opened(file) };
    opened.with(SQLITE_IOERR_TRUNCATE, |state| {
        if state.fails(|rates| rates.writes) {
            return SQLITE_IOERR_TRUNCATE;
        }
        let Some(node) = state.files.get_mut(&opened.name) else { return SQLITE_IOERR_TRUNCATE };
        node.change(Change::Truncate { bytes: bytes as usize });
        SQLITE_OK
    })
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, _: c_int) -> c_int {
    // SAFETY: SQLite calls with an open file.
    let opened = unsafe { opened(file) };
    opened.with(SQLITE_IOERR_FSYNC, |state| {
        let fails = state.fails(|rates| rates.syncs);
        let State { rng, files, .. } = state;
        let Some(node) = files.get_mut(&opened.name) else { return SQLITE_IOERR_FSYNC };
        if fails {
            node.fail_sync(rng);
            return SQLITE_IOERR_FSYNC;
        }
        node.sync();
        if !node.is_named {
            state.sync_names();
        }
        state.happened(|| Event::Sync { file: opened.name.clone() });
        SQLITE_OK
    })
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, out: *mut i64) -> c_int {
    // SAFETY: SQLite calls with an open file and a place for the answer.
    let (opened, out) = unsafe { (opened(file), &mut *out) };
    opened.with_node(SQLITE_IOERR_FSTAT, |node| {
        *out = node.visible.len() as i64;
        SQLITE_OK
    })
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: SQLite calls with an open file.
    let opened = unsafe { opened(file) };
    opened.with_node(SQLITE_IOERR_LOCK, |node| {
        let others = node.held.iter().filter(|(number, _)| **number != opened.number).map(|(_, held)| held.level);
        let highest = others.max().unwrap_or(SQLITE_LOCK_NONE);
        let Some(own) = node.held.get_mut(&opened.number) else { return SQLITE_IOERR_LOCK };
        let allowed = match level {
            SQLITE_LOCK_SHARED => highest < SQLITE_LOCK_PENDING,
            SQLITE_LOCK_RESERVED => highest < SQLITE_LOCK_RESERVED,
            _ => highest < SQLITE_LOCK_SHARED,
        };
        if own.level >= level || allowed {
            own.level = own.level.max(level);
            return SQLITE_OK;
        }
        if level == SQLITE_LOCK_EXCLUSIVE && highest < SQLITE_LOCK_RESERVED {
            // No new readers until those there are have gone.
            own.level = SQLITE_LOCK_PENDING;
        }
        SQLITE_BUSY
    })
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: SQLite calls with an open file.
    let opened = unsafe { opened(file) };
    opened.with_node(SQLITE_OK, |node| {
        if let Some(own) = node.held.get_mut(&opened.number) {
            own.level = own.level.min(level);
        }
        SQLITE_OK
    })
}

unsafe extern "C" fn is_reserved(file: *mut sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: SQLite calls with an open file and a place for the answer.
    let (opened, out) = unsafe { (opened(file), &mut *out) };
    opened.with_node(SQLITE_IOERR_CHECKRESERVEDLOCK, |node| {
        *out = c_int::from(node.held.values().any(|held| held.level >= SQLITE_LOCK_RESERVED));
        SQLITE_OK
    })
}

unsafe extern "C" fn control(_: *mut sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_: *mut sqlite3_file) -> c_int {
    4096
}

unsafe extern "C" fn characteristics(_: *mut sqlite3_file) -> c_int {
    SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    region: c_int,
    bytes: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: SQLite calls with an open file and a place for the answer. A region stays where it is until the last opened
    // file that shares it is closed; SQLite unmaps before.
    let (opened, out) = unsafe { (opened(file), &mut *out) };
    *out = ptr::null_mut();
    let mut regions = crate::lock(&opened.shared.regions);
    while extend != 0 && regions.len() <= region as usize {
        regions.push(vec![0; bytes as usize / 8].into_boxed_slice());
    }
    if let Some(region) = regions.get_mut(region as usize) {
        *out = region.as_mut_ptr().cast();
    }
    SQLITE_OK
}

unsafe extern "C" fn shm_lock(file: *mut sqlite3_file, at: c_int, count: c_int, flags: c_int) -> c_int {
    // SAFETY: SQLite calls with an open file.
    let opened = unsafe { opened(file) };
    let slots = (((1u16 << count) - 1) << at) as u8;
    opened.with_node(SQLITE_IOERR_SHMLOCK, |node| {
        let others = node.held.iter().filter(|(number, _)| **number != opened.number);
        let (shared, alone) =
            others.fold((0, 0), |(shared, alone), (_, held)| (shared | held.shared, alone | held.alone));
        let Some(own) = node.held.get_mut(&opened.number) else { return SQLITE_IOERR_SHMLOCK };
        if flags & SQLITE_SHM_UNLOCK != 0 {
            (own.shared, own.alone) = (own.shared & !slots, own.alone & !slots);
        } else if flags & SQLITE_SHM_SHARED != 0 {
            if alone & slots != 0 {
                return SQLITE_BUSY;
            }
            own.shared |= slots;
        } else {
            if (alone | shared) & slots != 0 {
                return SQLITE_BUSY;
            }
            own.alone |= slots;
        }
        SQLITE_OK
    })
}

unsafe extern "C" fn shm_barrier(_: *mut sqlite3_file) {
    std::sync::atomic::fence(Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, delete: c_int) -> c_int {
    // SAFETY: SQLite calls with an open file.
    let opened = unsafe { opened(file) };
    opened.with_node(SQLITE_OK, |node| {
        if let Some(own) = node.held.get_mut(&opened.number) {
            (own.shared, own.alone) = (0, 0);
        }
        if delete != 0 {
            node.shared = Arc::default();
        }
        SQLITE_OK
    })
}

/// Version 2: with shared memory, which WAL needs, and without memory-mapped reads, which would pass us by.
static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(is_reserved),
    xFileControl: Some(control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

//! The rules that can be dropped one by one, to see that the model notices.

macro_rules! rules {
    ($($name:ident $no:literal $scenarios:literal $text:literal;)*) => {
        /// A rule that is left out.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Mutation { $(#[doc = $text] $name),* }
        /// All of them: the rule's number, the scenarios where it is expected to show, and what is left out.
        pub const ALL: &[(Mutation, &str, &str, &str)] = &[$((Mutation::$name, $no, $scenarios, $text)),*];
    };
}

rules! {
    SendFirst "R1" "base" "an event is sent before the local log has committed it";
    DurableAck "R2" "base" "relay acknowledges and fans out before its store has synced";
    CursorApart "R5" "base" "cursor committed after its effect, in a second transaction";
    NoCoverage "R6" "seam" "device applies a batch whatever its `after` is";
    NoCheck "R7" "restore" "relay compares epoch and head only (design.md as written)";
    IdCheck "R7" "restore+refuse" "relay compares the event id at the cursor instead of a digest of the prefix";
    NoEpoch "R7" "lost" "relay compares the check only, never the epoch (check not seeded by the epoch)";
    NoPrevTag "R8" "clone" "relay accepts the next sequence without comparing the producer's chain";
    GapsAllowed "R8" "clone" "relay accepts any sequence above the last";
    SilentDup "R8" "clone" "relay answers `accepted` to any sequence at or below the last";
    ForkByLast "R10" "clone+refuse" "device notices only last > own last (design.md as written)";
    OwnRefiledUnnoticed "R10" "mixed-restore mixed-lost" "an own open event may come under its derived id";
    EchoById "R10" "clone" "own events come back by id without their tag";
    FreshRenumber "R11" "profile-twice" "strays are renumbered under the new random producer id";
    RefileAtOnce "R11" "restore+clone" "strays are filed under the derived id without trying their own first";
    AcceptByLast "R9" "restore+refuse" "an own event at or below `last` counts as accepted";
    HealGaps "R12" "restore+trim-2" "the relay takes a healed event although its predecessor is missing";
    HealPrevUntagged "R12" "restore+clone-3" "a heal names its predecessor's sequence without its tag";
    HealChainUnchecked "R12" "mixed-restore" "the relay takes a healed event that comes next in another branch of the chain";
    HealBranchPassed "R12" "mixed-lost" "an event to heal passes although another one has its id";
    HealRefiledUnmet "R12" "mixed-lost mixed-restore" "an event to heal under its derived id does not meet itself under its own";
    HealPipelined "R12" "profile-twice" "the outbox does not wait until heal list and strays are empty";
    StrayGap "R11" "clone+discard+lost" "strays are sent without the voids of their chain";
    StrayTakenForgotten "R11" "clone+refuse+lost" "a stray whose id was taken tries its own again in a new log";
    StrayPlaceEmpty "R11" "clone+discard+lost-twice" "a stray that goes under its derived id leaves its place in its chain empty";
    SnapshotUnchecked "R13" "clone+trim" "the producer chain is not compared with the snapshot's table";
    NoOrderVerdict "R9" "restore+refuse refuse" "an open own event that the log has passed over stays open";
    RefusedFree "R9" "refuse" "a refusal uses up no sequence and is not recorded";
    RefusedInMemory "R9" "clone+crash" "refusals are remembered in memory only";
    RefusedPruned "R9" "clone+refuse" "the record of a refusal is dropped once its author has confirmed it";
    RefusedUnasked "R9" "trim+refuse refuse" "`subscribed` does not carry refusals";
    NoLostVerdict "R9" "restore+refuse" "an own event at or below `last` that the caught-up log lacks stays accepted";
    DropOnAccepted "R4" "restore" "device forgets an own event when accepted, not when it comes back";
    HealOwnOnly "R12" "restore+wipe" "a device heals its own events only";
    HealUntilSent "R12" "restore" "an event leaves the heal list when sent, not when seen";
    HealAtOnce "R12" "restore" "healing begins before the catch-up has reached the head";
    HealLast "R12" "restore" "the outbox is sent before the heal list";
    HealNoConflict "R12" "restore+clone" "a healed event whose id is taken is dropped, not re-filed";
    HealVoidDropped "R12" "clone+discard+lost" "a healed event whose sequence was used up by a void is dropped, not re-filed";
    HealPrevGone "R12" "clone+refuse+lost-twice" "what follows an event that this log has refused goes on naming it";
    HealOvertaken "R12" "clone+discard+lost" "healed events are taken behind one that goes on under another id";
    HealNoVerdict "R12" "restore+refuse" "no answer to a heal";
    HealValidated "R12" "restore+refuse" "an own event that was accepted is published again like a new one";
    SnapshotNoTable "R13" "trim" "a snapshot does not say what it contains of each producer";
    BelowFloorTrusted "R13" "restore+trim trim" "a cursor below the floor is trusted without a check";
    TrimForgets "R13" "trim" "trimming drops producers that have nothing left in the log";
    DiscardGap "R14" "discard" "a discarded sequence is left out instead of sent as a void";
    DiscardSent "R14" "discard" "an event may be discarded after it was sent";
    OldSocket "R3" "seam" "device still reads the socket it gave up";
}

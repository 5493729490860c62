//! One suite for every log store: each promise of `LogStore` is a function here, run on the simulated store, on the
//! embedded one, on the embedded one that folds at each commit, on the embedded one that is closed and opened again before
//! each call, and on the embedded one on a simulated disk whose power is cut before each call.

#[path = "log_store/faults.rs"]
mod faults;
#[path = "log_store/feed.rs"]
mod feed;
#[path = "log_store/keeping.rs"]
mod keeping;
#[path = "log_store/opening.rs"]
mod opening;
#[path = "log_store/reading.rs"]
mod reading;
#[path = "log_store/world.rs"]
mod world;
#[path = "log_store/writing.rs"]
mod writing;

macro_rules! on_every_store {
    ($($module:ident { $($name:ident)* })*) => {
        on_every_store! { @store simulated $($module { $($name)* })* }
        on_every_store! { @store embedded $($module { $($name)* })* }
        on_every_store! { @store folding $($module { $($name)* })* }
        on_every_store! { @store reopening $($module { $($name)* })* }
        on_every_store! { @store power_cut $($module { $($name)* })* }
    };
    (@store $store:ident $($module:ident { $($name:ident)* })*) => {
        mod $store {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    crate::$module::$name(crate::world::World::$store()).await;
                }
            )*)*
        }
    };
}

on_every_store! {
    writing {
        an_append_gets_dense_offsets_and_its_head
        what_does_not_continue_the_chain_writes_nothing
        a_repeat_tells_every_fate_and_counts_the_new
        a_repeat_of_long_ago_or_with_another_tag_is_chain
        a_refusal_is_recorded_for_ever_and_uses_its_sequence_up
        refusals_are_told_from_settled_on_and_no_more_than_fit
        needs_are_met_by_the_last_logged_or_refused_down_the_batch
        a_derived_id_keeps_the_tag_of_its_origin
        an_append_for_another_log_is_an_epoch_error
        what_is_over_a_limit_is_not_written
        heal_takes_what_continues_and_passes_what_is_there
        heal_waits_for_the_predecessor_and_for_its_tag
        heal_takes_what_comes_next_in_its_own_chain_only
        heal_takes_nothing_behind_what_something_else_took
        heal_refuses_what_needs_a_refused_one
        heal_tells_what_was_refused_and_what_something_else_took
        heal_keeps_the_order_of_several_producers
        many_producers_at_once_are_each_logged_once_in_order
    }
    reading {
        a_stream_never_written_is_empty_and_is_not_made_by_asking
        twenty_thousand_events_read_as_written
        a_read_begins_anywhere
        a_read_in_a_log_that_is_gone_is_replaced
        the_check_at_every_offset_is_the_recomputed_chain
        resume_is_of_one_moment_and_fresh
        offsets_of_tells_where_sequences_went
        author_causes_and_needs_come_back
    }
    keeping {
        a_trim_never_passes_the_snapshot_and_keeps_the_records
        a_repeat_of_a_batch_that_the_floor_cuts_is_not_told_as_void
        a_snapshot_must_fit_the_log_and_be_newer
        a_new_epoch_is_compare_and_set_and_renames_the_checks
        a_deleted_log_is_empty_and_nothing_can_be_healed_back
    }
    feed {
        the_feed_tells_each_commit_of_followed_streams_without_gaps
        a_replaced_log_is_told
    }
}

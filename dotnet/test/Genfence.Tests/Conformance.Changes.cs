namespace Genfence.Tests;

/// <summary>Changes: commit, release, abort, invalidate, set, replace, touch.</summary>
public sealed partial class Conformance
{
    [Case]
    private async Task commit_stores_and_ends_the_reservation()
    {
        Assert.Equal(CommitOutcome.Stored, await Key.CommitAsync(await _key.ReserveAsync()));
        var hit = await _key.HitAsync();
        Assert.Equal(("committed", null), (Support.Text(hit), hit.Version));
        Assert.Equal(SetOutcome.Stored, await _key.SetAsync());
    }

    [Case]
    private async Task commit_twice_is_refused_the_second_time()
    {
        using var writer = await _key.ReserveAsync();
        Assert.Equal(CommitOutcome.Stored, await writer.CommitAsync(Support.Bytes("one")));
        foreach (var again in new Func<Task>[]
        {
            () => writer.CommitAsync(Support.Bytes("two")).AsTask(),
            () => writer.CommitAsync(Support.Bytes("two"), 2).AsTask(),
            () => writer.ReleaseAsync().AsTask(),
            () => writer.AbortAsync().AsTask(),
            () => writer.RenewAsync().AsTask(),
        })
        {
            Assert.Equal("reservation", (await Assert.ThrowsAsync<GenfenceInvalidException>(again)).Field);
        }
        Assert.Equal("one", await _key.TextAsync());
    }

    [Case]
    private async Task commit_beside_another_is_refused()
    {
        var (first, second) = (await _key.ReserveAsync(), await _key.ReserveAsync());
        Assert.Equal(CommitOutcome.Purged, await Key.CommitAsync(first));
        Assert.Equal(CommitOutcome.Purged, await Key.CommitAsync(second));
        // Also where the other is gone by then.
        (first, second) = (await _key.ReserveAsync(), await _key.ReserveAsync());
        await Key.AbortAsync(first);
        Assert.Equal(CommitOutcome.Purged, await Key.CommitAsync(second));
        Assert.Equal(LookupKind.Leased, await _key.LookAsync());
    }

    [Case(Needs.Past)]
    private async Task commit_after_expiry_stores_if_nobody_came()
    {
        var writer = await _key.ReserveAsync();
        await PastAsync();
        Assert.Equal(CommitOutcome.Stored, await Key.CommitAsync(writer));
    }

    [Case(Needs.Past)]
    private async Task commit_after_expiry_is_refused_if_a_reader_came()
    {
        var writer = await _key.ReserveAsync();
        await PastAsync();
        var lease = await _key.LeaseAsync();
        Assert.Equal(CommitOutcome.Purged, await Key.CommitAsync(writer));
        Assert.Equal(FillOutcome.Rejected, await Key.FillAsync(lease));
        Assert.NotEqual(FillRefusal.None, lease.Refusal);
    }

    [Case(Needs.Control)]
    private async Task commit_of_a_missing_record_is_refused_and_creates_none()
    {
        foreach (var version in new long?[] { null, 1 })
        {
            var writer = await _key.ReserveAsync();
            await Server.OrderAsync("evict-all");
            Assert.Equal(CommitOutcome.Purged, await Key.CommitAsync(writer, version));
            Assert.Null(await _key.TextAsync());
        }
    }

    [Case]
    private async Task commit_after_an_invalidate_is_refused()
    {
        var writer = await _key.ReserveAsync();
        await _key.InvalidateAsync();
        Assert.Equal(CommitOutcome.Purged, await Key.CommitAsync(writer));
        Assert.Null(await _key.TextAsync());
    }

    [Case]
    private async Task versioned_commit_stores_and_raises_the_floor()
    {
        Assert.Equal(CommitOutcome.Stored, await Key.CommitAsync(await _key.ReserveAsync(), 7));
        Assert.Equal(7, (await _key.HitAsync()).Version);
        await _key.AssertFloorAsync(7);
    }

    [Case]
    private async Task versioned_commit_beside_another_is_refused_until_that_released_an_older_version()
    {
        var (first, second) = (await _key.ReserveAsync(), await _key.ReserveAsync());
        Assert.Equal(CommitOutcome.Purged, await Key.CommitAsync(first, 1));
        Assert.Equal(CommitOutcome.Stored, await Key.CommitAsync(second, 2));
        (first, second) = (await _key.ReserveAsync(), await _key.ReserveAsync());
        Assert.Equal(ReleaseOutcome.Purged, await Key.ReleaseAsync(first, 3));
        Assert.Equal(CommitOutcome.Stored, await Key.CommitAsync(second, 4));
    }

    [Case]
    private async Task versioned_commit_below_the_floor_is_refused()
    {
        foreach (var (version, outcome) in new[] { (4, CommitOutcome.Purged), (5, CommitOutcome.Stored) })
        {
            var (first, second) = (await _key.ReserveAsync(), await _key.ReserveAsync());
            Assert.Equal(ReleaseOutcome.Purged, await Key.ReleaseAsync(first, 5));
            Assert.Equal(outcome, await Key.CommitAsync(second, version));
        }
    }

    [Case(Needs.Control)]
    private async Task versioned_commit_beside_a_dead_entry_is_refused()
    {
        using var dead = await _key.ReserveAsync();
        var writer = await _key.ReserveAsync();
        await PassAsync(40_000);
        Assert.True(await writer.RenewAsync());
        await PassAsync(40_000);
        Assert.Equal(CommitOutcome.Purged, await Key.CommitAsync(writer, 2));
    }

    [Case]
    private async Task versioned_commit_beside_an_unversioned_release_is_refused()
    {
        var (first, second) = (await _key.ReserveAsync(), await _key.ReserveAsync());
        Assert.Equal(ReleaseOutcome.Purged, await Key.ReleaseAsync(first));
        Assert.Equal(CommitOutcome.Purged, await Key.CommitAsync(second, 2));
    }

    [Case]
    private async Task releases_of_writers_that_always_overlap_leave_one_mark()
    {
        var before = await _key.ReserveAsync();
        for (var i = 0; i < 10; i++)
        {
            var next = await _key.ReserveAsync();
            Assert.Equal(ReleaseOutcome.Purged, await Key.ReleaseAsync(before));
            Assert.Equal(BypassReason.Reserved, await _key.LookAsync());
            before = next;
        }
        Assert.Equal(ReleaseOutcome.Purged, await Key.ReleaseAsync(before));
        Assert.Equal(LookupKind.Leased, await _key.LookAsync());
    }

    [Case]
    private async Task release_of_the_only_one_leaves_an_empty_record()
    {
        Assert.Equal(ReleaseOutcome.Purged, await Key.ReleaseAsync(await _key.ReserveAsync()));
        Assert.Equal(FillOutcome.Stored, await _key.FillAsync());
    }

    [Case(Needs.Control)]
    private async Task release_of_a_missing_record_creates_none()
    {
        var writer = await _key.ReserveAsync();
        await Server.OrderAsync("evict-all");
        Assert.Equal(ReleaseOutcome.Purged, await Key.ReleaseAsync(writer));
        Assert.Equal(FillOutcome.Stored, await _key.FillAsync());
    }

    [Case(Needs.Past)]
    private async Task release_removes_a_value_that_came_meanwhile()
    {
        var writer = await _key.ReserveAsync();
        await PastAsync();
        Assert.Equal(FillOutcome.Stored, await _key.FillAsync("old"));
        Assert.Equal(ReleaseOutcome.Purged, await Key.ReleaseAsync(writer));
        Assert.Null(await _key.TextAsync());
    }

    [Case(Needs.Past)]
    private async Task release_ends_a_lease()
    {
        var writer = await _key.ReserveAsync();
        await PastAsync();
        var lease = await _key.LeaseAsync();
        Assert.Equal(ReleaseOutcome.Purged, await Key.ReleaseAsync(writer));
        Assert.Equal(FillOutcome.Rejected, await Key.FillAsync(lease, "old"));
    }

    [Case(Needs.Control)]
    private async Task versioned_release_creates_the_record_for_its_floor()
    {
        var writer = await _key.ReserveAsync();
        await Server.OrderAsync("evict-all");
        Assert.Equal(ReleaseOutcome.Purged, await Key.ReleaseAsync(writer, 7));
        await _key.AssertFloorAsync(7);
    }

    [Case]
    private async Task versioned_release_leaves_the_others()
    {
        using var first = await _key.ReserveAsync();
        using var second = await _key.ReserveAsync();
        Assert.Equal(ReleaseOutcome.Purged, await Key.ReleaseAsync(first, 7));
        Assert.Equal(BypassReason.Reserved, await _key.LookAsync());
        Assert.Equal(ReleaseOutcome.Purged, await Key.ReleaseAsync(second, 6));
        await _key.AssertFloorAsync(7);
    }

    [Case]
    private async Task abort_of_the_only_one_leaves_an_empty_record()
    {
        await Key.AbortAsync(await _key.ReserveAsync());
        Assert.Equal(FillOutcome.Stored, await _key.FillAsync());
    }

    [Case(Needs.Past)]
    private async Task abort_without_a_reservation_of_its_own_writes_nothing()
    {
        var dead = await _key.ReserveAsync();
        await PastAsync();
        Assert.Equal(FillOutcome.Stored, await _key.FillAsync());
        await Key.AbortAsync(dead);
        Assert.NotNull(await _key.TextAsync());
    }

    [Case(Needs.Control)]
    private async Task abort_takes_earlier_attempts_along_and_leaves_the_others()
    {
        await Server.OrderAsync("lose-replies 1");
        var (first, other) = (await _key.ReserveAsync(), await _key.ReserveAsync());
        await Key.AbortAsync(first);
        Assert.Equal(BypassReason.Reserved, await _key.LookAsync());
        await Key.AbortAsync(other);
        Assert.Equal(LookupKind.Leased, await _key.LookAsync());
    }

    [Case]
    private async Task invalidate_removes_value_and_lease_and_keeps_reservations()
    {
        await _key.InvalidateAsync();
        await _key.FillAsync();
        await _key.InvalidateAsync();
        Assert.Null(await _key.TextAsync());
        var lease = await _key.LeaseAsync();
        await _key.InvalidateAsync();
        Assert.Equal(FillOutcome.Rejected, await Key.FillAsync(lease, "old"));
        using var writer = await _key.ReserveAsync();
        await _key.InvalidateAsync();
        Assert.Equal(BypassReason.Reserved, await _key.LookAsync());
    }

    [Case]
    private async Task invalidate_beside_a_versioned_writer_leaves_a_mark()
    {
        var writer = await _key.ReserveAsync();
        await _key.InvalidateAsync();
        Assert.Equal(CommitOutcome.Purged, await Key.CommitAsync(writer, 9));
        Assert.Null(await _key.TextAsync());
    }

    [Case]
    private async Task versioned_invalidate_creates_the_record_and_raises_the_floor()
    {
        foreach (var version in new[] { 7, 6, 8 })
        {
            await _key.InvalidateAsync(version);
        }
        await _key.AssertFloorAsync(8);
    }

    [Case]
    private async Task versioned_invalidate_keeps_what_is_new_enough_and_writes_nothing()
    {
        await _key.FillAsync(version: 7);
        var before = await _key.HitAsync();
        await _key.InvalidateAsync(7);
        await _key.InvalidateAsync(6);
        var after = await _key.HitAsync();
        Assert.Equal((before.Stamp, before.Version), (after.Stamp, after.Version));
        await _key.InvalidateAsync(8);
        Assert.Null(await _key.TextAsync());
        await _key.AssertFloorAsync(8);
    }

    [Case]
    private async Task versioned_invalidate_removes_a_value_without_a_version()
    {
        await _key.FillAsync();
        await _key.InvalidateAsync(1);
        Assert.Null(await _key.TextAsync());
    }

    [Case]
    private async Task set_stores_blindly_and_the_last_one_wins()
    {
        Assert.Equal(SetOutcome.Stored, await _key.SetAsync("first"));
        Assert.Equal(SetOutcome.Stored, await _key.SetAsync("second"));
        Assert.Equal("second", await _key.TextAsync());
        Assert.Equal(SetOutcome.Stored, await _key.SetAsync(null));
        Assert.Null((await _key.HitAsync()).Value);
    }

    [Case(Needs.Past)]
    private async Task set_over_a_live_reservation_is_refused_over_a_dead_one_not()
    {
        using var writer = await _key.ReserveAsync();
        if (_store == Wire)
        {
            Assert.Equal(SetOutcome.Busy, await _key.SetAsync());
        }
        await PastAsync();
        Assert.Equal(SetOutcome.Stored, await _key.SetAsync());
        Assert.Equal("set", await _key.TextAsync());
        Assert.Equal(CommitOutcome.Purged, await Key.CommitAsync(writer));
    }

    [Case]
    private async Task set_beside_a_live_reservation_is_busy()
    {
        await _key.FillAsync();
        using var writer = await _key.ReserveAsync();
        Assert.Equal(SetOutcome.Busy, await _key.SetAsync());
        Assert.Null(await _key.TextAsync());
    }

    [Case]
    private async Task set_ends_a_lease_and_drops_the_version_not_the_floor()
    {
        var lease = await _key.LeaseAsync();
        await _key.SetAsync();
        Assert.Equal(FillOutcome.Rejected, await Key.FillAsync(lease, "old"));
        await _key.InvalidateAsync();
        await _key.FillAsync(version: 7);
        await _key.SetAsync();
        Assert.Null((await _key.HitAsync()).Version);
        await _key.AssertFloorAsync(7);
    }

    [Case]
    private async Task replace_needs_the_stamp()
    {
        Assert.Equal(ReplaceOutcome.Conflict, await _key.ReplaceAsync(1));
        await _key.FillAsync(version: 7);
        var stamp = (await _key.HitAsync()).Stamp;
        Assert.Equal(ReplaceOutcome.Conflict, await _key.ReplaceAsync(stamp + 1));
        Assert.Equal(ReplaceOutcome.Stored, await _key.ReplaceAsync(stamp));
        var replaced = await _key.HitAsync();
        Assert.Equal(("replaced", null), (Support.Text(replaced), replaced.Version));
        Assert.Equal(ReplaceOutcome.Conflict, await _key.ReplaceAsync(stamp));
        // Beside a writer, too: the value is away.
        using var writer = await _key.ReserveAsync();
        Assert.Equal(ReplaceOutcome.Conflict, await _key.ReplaceAsync(replaced.Stamp));
    }

    [Case]
    private async Task touch_needs_a_value()
    {
        Assert.Equal(TouchOutcome.Missing, await _key.TouchAsync(1000));
        using (await _key.LeaseAsync())
        {
            Assert.Equal(TouchOutcome.Missing, await _key.TouchAsync(1000));
        }
        using (await _key.Another.ReserveAsync())
        {
            Assert.Equal(TouchOutcome.Missing, await _key.Another.TouchAsync(1000));
        }
        await _key.SetAsync();
        Assert.Equal(TouchOutcome.Done, await _key.TouchAsync(1000));
        Assert.Equal("set", await _key.TextAsync());
    }

    [Case(Needs.Control)]
    private async Task a_value_is_gone_after_its_time_and_touch_prolongs_it()
    {
        // Whole seconds, rounded up; and the server looks at its own whole seconds.
        await _key.Another.SetAsync(timeToLive: TimeSpan.FromMilliseconds(1));
        await _key.SetAsync(timeToLive: TimeSpan.FromSeconds(10));
        await PassAsync(900);
        Assert.Equal("set", await _key.Another.TextAsync());
        await PassAsync(7_000);
        Assert.Null(await _key.Another.TextAsync());
        Assert.Equal(TouchOutcome.Done, await _key.TouchAsync(10));
        await PassAsync(8_000);
        Assert.Equal("set", await _key.TextAsync());
        await PassAsync(4_000);
        Assert.Null(await _key.TextAsync());
        Assert.Equal(TouchOutcome.Missing, await _key.TouchAsync(10));
    }

    [Case(Needs.Control, "ttl=100s&ttl_jitter=0&negative_ttl=10s")]
    private async Task nothing_is_remembered_for_its_own_time()
    {
        await _key.FillAsync(null);
        await _key.Another.FillAsync();
        await PassAsync(12_000);
        Assert.Equal(LookupKind.Leased, await _key.LookAsync());
        Assert.Equal(LookupKind.Hit, await _key.Another.LookAsync());
        await PassAsync(92_000);
        Assert.Equal(LookupKind.Leased, await _key.Another.LookAsync());
    }

    [Case(Needs.Control)]
    private async Task a_fill_and_a_commit_live_for_the_time_they_are_given()
    {
        using var lease = await _key.LeaseAsync();
        await lease.FillAsync(Support.Bytes("filled"), timeToLive: TimeSpan.FromSeconds(10));
        using var writer = await _key.Another.ReserveAsync();
        await writer.CommitAsync(Support.Bytes("committed"), timeToLive: TimeSpan.FromSeconds(10));
        await PassAsync(8_000);
        Assert.Equal(("filled", "committed"), (await _key.TextAsync(), await _key.Another.TextAsync()));
        await PassAsync(4_000);
        Assert.Equal((null, null), (await _key.TextAsync(), await _key.Another.TextAsync()));
    }

    [Case(Needs.Shared)]
    private async Task generation_goes_on_when_nothing_is_left_of_the_record()
    {
        var old = await _key.LeaseAsync();
        await _key.InvalidateAsync();
        var taken = await (await OtherAsync()).LeaseAsync();
        Assert.Equal(FillOutcome.Rejected, await Key.FillAsync(old, "old"));
        Assert.Equal(FillOutcome.Stored, await Key.FillAsync(taken, "new"));
    }

    [Case]
    private async Task a_large_value_comes_back_whole()
    {
        var large = Enumerable.Range(0, 200_000).Select(number => (byte)number).ToArray();
        using var lease = await _key.LeaseAsync();
        await lease.FillAsync(large);
        Assert.Equal(large, (await _key.HitAsync()).Value);
    }

    [Case]
    private async Task caches_with_different_prefixes_do_not_see_each_other()
    {
        await _key.SetAsync();
        Assert.Null(await _key.Another.TextAsync());
        if (_store != Memory)
        {
            Assert.Equal("set", await (await OtherAsync()).TextAsync());
            await using var elsewhere = await GenfenceCache.ConnectAsync(
                UrlOf(_store), new GenfenceOptions { PrefixBytes = new byte[] { 0xff, 0 } });
            Assert.Null(await elsewhere.GetAsync("k"));
        }
    }
}

namespace Genfence.Tests;

/// <summary>Reads and claims: get, lease, extend, fill, unlease, reserve, renew.</summary>
public sealed partial class Conformance
{
    [Case]
    private async Task get_of_nothing()
    {
        Assert.Null(await _key.Cache.GetAsync("k"));
        Assert.False(await _key.Cache.TryGetAsync("k", new System.Buffers.ArrayBufferWriter<byte>()));
        Assert.Equal((0, 2), (_key.Cache.Stats.Hits, _key.Cache.Stats.Misses));
    }

    [Case]
    private async Task lease_creates_the_record_at_generation_one()
    {
        using var lease = await _key.LeaseAsync();
        Assert.Null(await _key.TextAsync());
        Assert.Equal(1, _key.Cache.Stats.Leases);
    }

    [Case]
    private async Task lease_of_a_leased_key_is_refused_and_changes_nothing()
    {
        var lease = await _key.LeaseAsync();
        Assert.Equal(BypassReason.Slow, await _key.LookAsync());
        var looked = await _key.Cache.LookupAsync("k");
        Assert.Equal((LookupKind.Bypass, BypassReason.Slow), (looked.Kind, looked.Bypass));
        if (_store != Memory)
        {
            Assert.Equal(BypassReason.Slow, await (await OtherAsync()).LookAsync());
        }
        Assert.Equal(FillOutcome.Stored, await Key.FillAsync(lease));
    }

    [Case(Needs.Control)]
    private async Task lease_after_the_callers_own_earlier_attempt_is_granted()
    {
        await Server.OrderAsync("lose-replies 2");
        Assert.Equal(FillOutcome.Stored, await _key.FillAsync());
    }

    [Case(Needs.Control)]
    private async Task lease_of_a_lapsed_lease_is_granted()
    {
        using var lapsed = await _key.LeaseAsync();
        await PastAsync();
        using var taken = await (await OtherAsync()).LeaseAsync();
    }

    [Case]
    private async Task lease_of_a_value_is_refused()
    {
        await _key.FillAsync();
        Assert.Equal(LookupKind.Hit, await _key.LookAsync());
        Assert.Equal(LookupKind.Hit, (await _key.Cache.LookupAsync("k")).Kind);
    }

    [Case(Needs.Past)]
    private async Task lease_of_a_reserved_key_is_refused_until_the_reservation_expires()
    {
        using (await _key.ReserveAsync())
        {
            if (_store == Wire)
            {
                Assert.Equal(BypassReason.Reserved, await _key.LookAsync());
            }
        }
        await PastAsync();
        Assert.Equal(FillOutcome.Stored, await _key.FillAsync());
    }

    [Case]
    private async Task lease_beside_a_live_reservation_is_a_bypass()
    {
        using var writer = await _key.ReserveAsync();
        Assert.Equal(BypassReason.Reserved, await _key.LookAsync());
        Assert.Equal(BypassReason.Reserved, (await _key.Cache.LookupAsync("k")).Bypass);
        Assert.Equal("source", await _key.Cache.GetOrFillAsync("k", _ => ValueTask.FromResult("source")));
        Assert.Null(await _key.TextAsync());
    }

    [Case(options: "lease_time=30ms")]
    private async Task extend_gives_a_new_deadline_and_generation()
    {
        var lease = await _key.LeaseAsync();
        await UntilAsync(() => _key.Cache.Stats.Extensions >= 3);
        Assert.Equal(FillOutcome.Stored, await Key.FillAsync(lease));
    }

    [Case(Needs.Control, "lease_time=300ms")]
    private async Task extend_of_a_lapsed_lease_that_nobody_took_is_granted()
    {
        var lease = await _key.LeaseAsync();
        // Past the lease, not past its record, which lives for whole seconds.
        await PassAsync(600);
        var extensions = _key.Cache.Stats.Extensions;
        await UntilAsync(() => _key.Cache.Stats.Extensions > extensions);
        Assert.Equal(FillOutcome.Stored, await Key.FillAsync(lease));
    }

    [Case]
    private async Task fill_stores_and_ends_the_lease()
    {
        Assert.Equal(FillOutcome.Stored, await _key.FillAsync());
        var hit = await _key.HitAsync();
        Assert.Equal(("filled", null), (Support.Text(hit), hit.Version));
        Assert.NotEqual(0ul, hit.Stamp);
        await _key.InvalidateAsync();
        Assert.Equal(LookupKind.Leased, await _key.LookAsync());
    }

    [Case]
    private async Task fill_of_nothing_and_of_empty_bytes_differ()
    {
        await _key.FillAsync(null);
        Assert.Null((await _key.HitAsync()).Value);
        Assert.Equal(LookupKind.Hit, await _key.LookAsync());
        await _key.InvalidateAsync();
        await _key.FillAsync("");
        Assert.Empty((await _key.HitAsync()).Value!);
    }

    [Case]
    private async Task fill_with_a_version_sets_the_floor()
    {
        await _key.FillAsync(version: 7);
        Assert.Equal(7, (await _key.HitAsync()).Version);
        await _key.AssertFloorAsync(7);
    }

    [Case]
    private async Task fill_below_the_floor_is_refused_at_the_floor_it_is_stored()
    {
        await _key.InvalidateAsync(7);
        await _key.AssertFloorAsync(7);
    }

    [Case]
    private async Task fill_without_a_version_passes_any_floor()
    {
        await _key.InvalidateAsync(7);
        Assert.Equal(FillOutcome.Stored, await _key.FillAsync());
        Assert.Null((await _key.HitAsync()).Version);
        await _key.AssertFloorAsync(7);
    }

    [Case(Needs.Control)]
    private async Task fill_after_a_lapsed_lease_that_nobody_took_is_stored()
    {
        var lease = await _key.LeaseAsync();
        await PastAsync();
        Assert.Equal(FillOutcome.Stored, await Key.FillAsync(lease));
    }

    [Case]
    private async Task fill_twice_is_refused_the_second_time()
    {
        using var lease = await _key.LeaseAsync();
        Assert.Equal(FillOutcome.Stored, await lease.FillAsync(Support.Bytes("one")));
        var refused = await Assert.ThrowsAsync<GenfenceInvalidException>(() => lease.FillAsync(Support.Bytes("two")).AsTask());
        Assert.Equal(("lease", "one"), (refused.Field, await _key.TextAsync()));
    }

    [Case]
    private async Task fill_of_a_missing_record_is_refused_and_creates_none()
    {
        var lease = await _key.LeaseAsync();
        await _key.InvalidateAsync();
        Assert.Equal(FillOutcome.Rejected, await Key.FillAsync(lease));
        Assert.Null(await _key.TextAsync());
    }

    [Case]
    private async Task fill_after_a_reserve_is_refused()
    {
        var lease = await _key.LeaseAsync();
        using var writer = await _key.ReserveAsync();
        Assert.Equal(FillOutcome.Rejected, await Key.FillAsync(lease, "old"));
        Assert.Equal(CommitOutcome.Stored, await Key.CommitAsync(writer));
    }

    [Case(Needs.Control)]
    private async Task fill_after_a_retaken_lease_is_refused()
    {
        var lapsed = await _key.LeaseAsync();
        await PastAsync();
        var taken = await (await OtherAsync()).LeaseAsync();
        Assert.Equal(FillOutcome.Rejected, await Key.FillAsync(lapsed, "old"));
        Assert.Equal(FillOutcome.Stored, await Key.FillAsync(taken, "new"));
        Assert.Equal("new", await _key.TextAsync());
    }

    [Case]
    private async Task unlease_ends_the_lease_and_leaves_an_empty_record()
    {
        (await _key.LeaseAsync()).Dispose();
        (await _key.LeaseSoonAsync()).Dispose();
        if (_store != Memory)
        {
            (await (await OtherAsync()).LeaseSoonAsync()).Dispose();
        }
    }

    [Case]
    private async Task unlease_leaves_a_floor()
    {
        await _key.InvalidateAsync(7);
        (await _key.LeaseAsync()).Dispose();
        await _key.AssertFloorAsync(7);
    }

    [Case]
    private async Task reserve_creates_the_record_and_is_alone()
    {
        var writer = await _key.ReserveAsync();
        Assert.InRange(writer.Remaining, TimeSpan.FromSeconds(30), TimeSpan.FromSeconds(59));
        Assert.Equal(CommitOutcome.Stored, await Key.CommitAsync(writer));
    }

    [Case]
    private async Task reserve_removes_value_version_and_lease_and_keeps_the_floor()
    {
        await _key.FillAsync(version: 7);
        var writer = await _key.ReserveAsync();
        Assert.Null(await _key.TextAsync());
        await Key.AbortAsync(writer);
        var lease = await _key.LeaseAsync();
        writer = await _key.ReserveAsync();
        Assert.Equal(FillOutcome.Rejected, await Key.FillAsync(lease));
        await Key.AbortAsync(writer);
        await _key.AssertFloorAsync(7);
    }

    [Case]
    private async Task reserve_beside_a_live_one_is_not_alone_and_ends_its_being_alone()
    {
        var (first, second) = (await _key.ReserveAsync(), await _key.ReserveAsync());
        Assert.Equal(CommitOutcome.Purged, await Key.CommitAsync(second));
        Assert.Equal(CommitOutcome.Purged, await Key.CommitAsync(first));
        Assert.Equal(LookupKind.Leased, await _key.LookAsync());
    }

    [Case(Needs.Past)]
    private async Task reserve_after_a_dead_one_is_alone_and_empties_the_dead()
    {
        (await _key.ReserveAsync()).Dispose();
        await PastAsync();
        Assert.Equal(CommitOutcome.Stored, await Key.CommitAsync(await _key.ReserveAsync(), 1));
    }

    [Case(Needs.Control)]
    private async Task reserve_folds_the_dead_into_one_mark_while_another_is_live()
    {
        using var dead = await _key.ReserveAsync();
        using var live = await _key.ReserveAsync();
        await PassAsync(40_000);
        Assert.True(await live.RenewAsync());
        await PassAsync(40_000);
        Assert.Equal(CommitOutcome.Purged, await Key.CommitAsync(await _key.ReserveAsync()));
        Assert.Equal(CommitOutcome.Purged, await Key.CommitAsync(live, 9));
    }

    [Case(Needs.Control)]
    private async Task reserve_after_the_callers_own_earlier_attempt_is_alone()
    {
        await Server.OrderAsync("lose-replies 2");
        Assert.Equal(CommitOutcome.Stored, await Key.CommitAsync(await _key.ReserveAsync()));
    }

    [Case]
    private async Task renew_prolongs_and_answers_anew()
    {
        var writer = await _key.ReserveAsync();
        if (_store == Wire)
        {
            await PassAsync(40_000);
        }
        Assert.True(await writer.RenewAsync());
        if (_store == Wire)
        {
            await PassAsync(40_000);
        }
        Assert.Equal(BypassReason.Reserved, await _key.LookAsync());
        Assert.Equal(CommitOutcome.Stored, await Key.CommitAsync(writer));
    }

    [Case(Needs.Past)]
    private async Task renew_of_an_expired_or_unknown_reservation_is_refused()
    {
        using var writer = await _key.ReserveAsync();
        await PastAsync();
        Assert.False(await writer.RenewAsync());
        Assert.Equal(ReleaseOutcome.Purged, await Key.ReleaseAsync(writer));
        await Assert.ThrowsAsync<ObjectDisposedException>(() => writer.RenewAsync().AsTask());
    }

    [Case]
    private async Task renew_beside_another_is_not_alone()
    {
        using var first = await _key.ReserveAsync();
        using var second = await _key.ReserveAsync();
        Assert.True(await first.RenewAsync());
        Assert.Equal(CommitOutcome.Purged, await Key.CommitAsync(first));
    }

    [Case]
    private async Task many_keys_are_loaded_by_one_call_and_come_in_order()
    {
        await _key.SetAsync("hit");
        var (reserved, leased) = (_key.Another, _key.Another.Another);
        using var writer = await reserved.ReserveAsync();
        var lease = await leased.LeaseAsync();
        var asked = new List<string>();
        var many = _key.Cache.GetOrFillManyAsync(["k''", "k'", "k", "new", "none", "k"], (keys, _) =>
        {
            lock (asked)
            {
                asked.AddRange(keys);
            }
            return ValueTask.FromResult<IReadOnlyDictionary<string, string>>(
                keys.Where(key => key != "none").ToDictionary(key => key, key => $"of {key}"));
        }).AsTask();
        var values = await many;
        Assert.Equal(
            [("k", "hit"), ("k'", "of k'"), ("k''", "of k''"), ("new", "of new"), ("none", null)],
            values.Select(pair => (pair.Key, (string?)pair.Value)).OrderBy(pair => pair.Key, StringComparer.Ordinal));
        // What was leased is filled; beside a writer and beside another's fill nothing is.
        Assert.Equal(["k'", "new", "none", "k''"], asked);
        Assert.Equal("of new", Support.Text(await _key.Cache.GetAsync("new")));
        Assert.Null((await _key.Cache.GetAsync("none"))!.Value.Value);
        Assert.Null(await reserved.TextAsync());
        Assert.Equal(FillOutcome.Stored, await Key.FillAsync(lease));
    }
}

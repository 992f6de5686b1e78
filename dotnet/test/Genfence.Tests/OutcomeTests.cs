using System.Buffers;

namespace Genfence.Tests;

public class OutcomeTests : CacheTest
{
    [Fact]
    public async Task A_value_that_was_filled_is_hit()
    {
        var looked = await Cache.LookupAsync("k").Within();
        Assert.Equal(LookupKind.Leased, looked.Kind);
        using (looked.Lease)
        {
            Assert.Equal(FillOutcome.Stored, await looked.Lease!.FillAsync(Support.Bytes("Ada"), 7).Within());
        }
        var hit = await Cache.LookupAsync("k").Within();
        Assert.Equal(LookupKind.Hit, hit.Kind);
        Assert.Equal("Ada", Support.Text(hit.Hit));
        Assert.Equal(7, hit.Hit.Version);
        var target = new ArrayBufferWriter<byte>();
        Assert.True(await Cache.TryGetAsync("k", target).Within());
        Assert.Equal(Support.Bytes("Ada"), target.WrittenSpan.ToArray());
        Assert.Equal("Ada", Support.Text(await Cache.GetAsync("k"u8).Within()));
    }

    [Fact]
    public async Task Nothing_is_not_an_empty_value_and_not_a_miss()
    {
        Assert.Null(await Cache.GetAsync("k").Within());
        Assert.Equal(SetOutcome.Stored, await Cache.SetBytesAsync("k", null).Within());
        var nothing = await Cache.GetAsync("k").Within();
        Assert.NotNull(nothing);
        Assert.Null(nothing.Value.Value);
        Assert.False(await Cache.TryGetAsync("k", new ArrayBufferWriter<byte>()).Within());
        await Cache.SetBytesAsync("k", Array.Empty<byte>()).Within();
        Assert.Empty((await Cache.GetAsync("k").Within())!.Value.Value!);
        Assert.True(await Cache.TryGetAsync("k", new ArrayBufferWriter<byte>()).Within());
    }

    [Fact]
    public async Task A_fill_after_a_reserve_is_rejected()
    {
        var looked = await Cache.LookupAsync("k").Within();
        using var lease = looked.Lease!;
        using var reservation = await Cache.ReserveAsync("k").Within();
        Assert.Equal(FillOutcome.Rejected, await lease.FillAsync(Support.Bytes("old")).Within());
        Assert.Equal(CommitOutcome.Stored, await reservation.CommitAsync(Support.Bytes("new")).Within());
        Assert.Equal("new", Support.Text(await Cache.GetAsync("k").Within()));
    }

    [Fact]
    public async Task A_reader_beside_a_writer_is_told_to_store_nothing()
    {
        using var reservation = await Cache.ReserveAsync("k").Within();
        var looked = await Cache.LookupAsync("k").Within();
        Assert.Equal((LookupKind.Bypass, BypassReason.Reserved), (looked.Kind, looked.Bypass));
        Assert.Equal("source", await Cache.GetOrFillAsync("k", _ => ValueTask.FromResult("source")).Within());
        Assert.Null(await Cache.GetAsync("k").Within());
        await reservation.AbortAsync().Within();
    }

    [Fact]
    public async Task A_reader_that_waits_too_long_is_told_to_store_nothing()
    {
        await using var impatient = await GenfenceCache.ConnectAsync("memory://?wait=0s");
        using var held = (await impatient.LookupAsync("k").Within()).Lease;
        var looked = await impatient.LookupAsync("k").Within();
        Assert.Equal((LookupKind.Bypass, BypassReason.Slow), (looked.Kind, looked.Bypass));
    }

    [Fact]
    public async Task A_commit_beside_another_writer_stores_nothing()
    {
        using var first = await Cache.ReserveAsync("k").Within();
        using var second = await Cache.ReserveAsync("k").Within();
        Assert.Equal(CommitOutcome.Purged, await second.CommitAsync(Support.Bytes("B")).Within());
        Assert.Equal(CommitOutcome.Purged, await first.CommitAsync(Support.Bytes("A")).Within());
        Assert.Null(await Cache.GetAsync("k").Within());
        Assert.Equal(LookupKind.Leased, (await Free("k")).Kind);
    }

    [Fact]
    public async Task Versions_order_writers_that_cross()
    {
        using var first = await Cache.ReserveAsync("k").Within();
        using var second = await Cache.ReserveAsync("k").Within();
        Assert.Equal(CommitOutcome.Purged, await second.CommitAsync(Support.Bytes("v2"), 2).Within());
        Assert.Equal(CommitOutcome.Purged, await first.CommitAsync(Support.Bytes("v1"), 1).Within());
        Assert.Null(await Cache.GetAsync("k").Within());

        using var third = await Cache.ReserveAsync("n").Within();
        using var fourth = await Cache.ReserveAsync("n").Within();
        Assert.Equal(CommitOutcome.Purged, await third.CommitAsync(Support.Bytes("v1"), 1).Within());
        Assert.Equal(CommitOutcome.Stored, await fourth.CommitAsync(Support.Bytes("v2"), 2).Within());
        Assert.Equal(2, (await Cache.GetAsync("n").Within())!.Value.Version);
    }

    [Fact]
    public async Task A_fill_from_before_a_versioned_invalidation_is_rejected()
    {
        await Cache.InvalidateAsync("k", 5).Within();
        using var lease = (await Cache.LookupAsync("k").Within()).Lease!;
        Assert.Equal(FillOutcome.Rejected, await lease.FillAsync(Support.Bytes("v4"), 4).Within());
        using var again = (await Cache.LookupAsync("k").Within()).Lease!;
        Assert.Equal(FillOutcome.Stored, await again.FillAsync(Support.Bytes("v5"), 5).Within());
        await Cache.InvalidateAsync("k", 5).Within();
        Assert.NotNull(await Cache.GetAsync("k").Within());
        await Cache.InvalidateAsync("k").Within();
        Assert.Null(await Cache.GetAsync("k").Within());
    }

    [Fact]
    public async Task A_release_leaves_nothing_and_an_abort_frees_the_key()
    {
        await Cache.SetAsync("k", "old").Within();
        using var released = await Cache.ReserveAsync("k").Within();
        Assert.True(released.Remaining > TimeSpan.FromSeconds(1));
        Assert.True(await released.RenewAsync().Within());
        Assert.Equal(ReleaseOutcome.Purged, await released.ReleaseAsync().Within());
        Assert.Equal(LookupKind.Leased, (await Free("k")).Kind);
        using var aborted = await Cache.ReserveAsync("k").Within();
        await aborted.AbortAsync().Within();
        Assert.Equal(LookupKind.Leased, (await Free("k")).Kind);
    }

    [Fact]
    public async Task A_renewal_that_comes_too_late_says_so()
    {
        await using var quick = await GenfenceCache.ConnectAsync(
            "memory://?reservation_time=100ms&reservation_margin=0s");
        using var reservation = await quick.ReserveAsync("k").Within();
        while (reservation.Remaining > TimeSpan.Zero)
        {
            await Task.Delay(10);
        }
        // The time that remains counts from before the reserve was sent, the store's from when it came.
        await Task.Delay(100);
        // The next reserve empties what has expired.
        using var next = await quick.ReserveAsync("k").Within();
        Assert.False(await reservation.RenewAsync().Within());
        Assert.Equal(CommitOutcome.Purged, await reservation.CommitAsync(Support.Bytes("late")).Within());
    }

    [Fact]
    public async Task A_set_beside_a_writer_is_busy()
    {
        using var reservation = await Cache.ReserveAsync("k").Within();
        Assert.Equal(SetOutcome.Busy, await Cache.SetAsync("k", "x").Within());
        await reservation.AbortAsync().Within();
        Assert.Equal(SetOutcome.Stored, await Cache.SetAsync("k", "x").Within());
    }

    [Fact]
    public async Task A_replace_of_another_value_conflicts()
    {
        await Cache.SetAsync("k", "one").Within();
        var stamp = (await Cache.GetAsync("k").Within())!.Value.Stamp;
        Assert.Equal(ReplaceOutcome.Stored, await Cache.ReplaceAsync("k", stamp, Support.Bytes("two")).Within());
        Assert.Equal(ReplaceOutcome.Conflict, await Cache.ReplaceAsync("k", stamp, Support.Bytes("three")).Within());
        Assert.Equal("two", Support.Text(await Cache.GetAsync("k").Within()));
    }

    [Fact]
    public async Task A_touch_of_a_missing_value_is_missing()
    {
        Assert.Equal(TouchOutcome.Missing, await Cache.TouchAsync("k", TimeSpan.FromMinutes(1)).Within());
        await Cache.SetAsync("k", "x").Within();
        Assert.Equal(TouchOutcome.Done, await Cache.TouchAsync("k", TimeSpan.FromMinutes(1)).Within());
    }

    [Fact]
    public async Task A_lease_that_is_disposed_lets_another_caller_fill()
    {
        (await Cache.LookupAsync("k").Within()).Lease!.Dispose();
        Assert.Equal(LookupKind.Leased, (await Free("k")).Kind);
    }

    [Fact]
    public async Task A_lease_and_a_reservation_are_used_once()
    {
        using var lease = (await Cache.LookupAsync("k").Within()).Lease!;
        await lease.FillAsync(Support.Bytes("x")).Within();
        var refused = await Assert.ThrowsAsync<GenfenceInvalidException>(
            () => lease.FillAsync(Support.Bytes("y")).Within());
        Assert.Equal("lease", refused.Field);
        using var reservation = await Cache.ReserveAsync("k").Within();
        await reservation.ReleaseAsync().Within();
        refused = await Assert.ThrowsAsync<GenfenceInvalidException>(() => reservation.AbortAsync().Within());
        Assert.Equal("reservation", refused.Field);
    }

    [Fact]
    public async Task Findings_and_counts_are_read()
    {
        var findings = await Cache.DiagnoseAsync().Within();
        Assert.NotEmpty(findings);
        Assert.All(findings, finding => Assert.NotEmpty(finding.Check));
        await Cache.SetAsync("k", "x").Within();
        _ = await Cache.GetAsync("k").Within();
        _ = await Cache.GetAsync("missing").Within();
        Assert.Equal((1, 1), (Cache.Stats.Hits, Cache.Stats.Misses));
    }

    private async Task<LookupResult> Free(string key)
    {
        var looked = await Cache.LookupAsync(key).Within();
        looked.Lease?.Dispose();
        return looked;
    }
}

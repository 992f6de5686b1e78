namespace Genfence.Tests;

public class UpdateTests : CacheTest
{
    [Fact]
    public async Task What_became_of_the_source_becomes_of_the_key()
    {
        Assert.Equal(UpdateOutcome.Stored, await Cache.UpdateAsync("k", async (reservation, _) =>
        {
            await Task.Yield();
            return reservation.Remaining > TimeSpan.Zero ? SourceResult.Committed("new", 3) : SourceResult.RolledBack;
        }).Within());
        Assert.Equal("new", Support.Text(await Cache.GetAsync("k").Within()));
        Assert.Equal(UpdateOutcome.Purged, await Cache.UpdateAsync("k", (_, _) => ValueTask.FromResult(SourceResult.Changed(4))).Within());
        Assert.Null(await Cache.GetAsync("k").Within());
        Assert.Equal(UpdateOutcome.Stored, await Cache.UpdateAsync("k", (_, _) => ValueTask.FromResult(SourceResult.Deleted(5))).Within());
        Assert.Null((await Cache.GetAsync("k").Within())!.Value.Value);
        Assert.Equal(UpdateOutcome.RolledBack, await Cache.UpdateAsync("k", (_, _) => ValueTask.FromResult(SourceResult.RolledBack)).Within());
        Assert.Null(await Cache.GetAsync("k").Within());
        Assert.Equal(0, Cache.Stats.ReservationsLeft);
    }

    [Fact]
    public async Task A_default_of_a_value_type_is_no_deletion()
    {
        await Cache.UpdateAsync("k", (_, _) => ValueTask.FromResult(SourceResult.Committed(0))).Within();
        Assert.Equal("0", Support.Text(await Cache.GetAsync("k").Within()));
    }

    [Fact]
    public async Task A_change_that_failed_before_its_commit_keeps_nobody_waiting()
    {
        var failure = new TimeoutException("the database");
        Assert.Same(failure, await Assert.ThrowsAsync<TimeoutException>(
            () => Cache.UpdateAsync("k", (_, _) => ValueTask.FromResult(SourceResult.RolledBackBy(failure))).Within()));
        using var lease = (await Cache.LookupAsync("k").Within()).Lease;
        Assert.NotNull(lease);
        Assert.Equal(0, Cache.Stats.ReservationsLeft);
    }

    [Fact]
    public async Task Why_it_was_rolled_back_comes_out_also_where_the_abort_cannot()
    {
        var failure = new TimeoutException("the database");
        await using var cache = await GenfenceCache.ConnectAsync(
            "memory://", new GenfenceOptions { CloseTimeout = TimeSpan.Zero });
        Assert.Same(failure, await Assert.ThrowsAsync<TimeoutException>(() => cache.UpdateAsync("k", async (_, _) =>
        {
            await cache.DisposeAsync();
            return SourceResult.RolledBackBy(failure);
        }).Within()));
    }

    [Fact]
    public async Task An_exception_says_nothing_about_the_source()
    {
        await Assert.ThrowsAsync<TimeoutException>(
            () => Cache.UpdateAsync("k", (_, _) => ValueTask.FromException<SourceResult>(new TimeoutException())).Within());
        await AssertLeft("k", 1);
        using var source = new CancellationTokenSource();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Cache.UpdateAsync("c", async (_, cancellation) =>
        {
            await source.CancelAsync();
            cancellation.ThrowIfCancellationRequested();
            return SourceResult.RolledBack;
        }, source.Token).Within());
        await AssertLeft("c", 2);
    }

    [Fact]
    public async Task A_closure_that_says_nothing_leaves_the_key_bypassed()
    {
        var refused = await Assert.ThrowsAsync<GenfenceInvalidException>(
            () => Cache.UpdateAsync("k", (_, _) => ValueTask.FromResult(default(SourceResult))).Within());
        Assert.Equal("change", refused.Field);
        await AssertLeft("k", 1);
    }

    [Fact]
    public async Task A_cancellation_after_the_change_does_not_undo_the_commit()
    {
        using var source = new CancellationTokenSource();
        var outcome = await Cache.UpdateAsync("k", async (_, _) =>
        {
            await source.CancelAsync();
            return SourceResult.Committed("new");
        }, cancellationToken: source.Token).Within();
        Assert.Equal(UpdateOutcome.Stored, outcome);
    }

    [Fact]
    public async Task A_result_out_of_bounds_releases_the_key_all_the_same()
    {
        foreach (var (wrong, field) in new (SourceResult<string>, string)[]
        {
            (SourceResult.Committed("x", -1), "version"),
            (SourceResult.Committed("x", timeToLive: TimeSpan.Zero), "ttl"),
            (SourceResult.Committed("x", timeToLive: TimeSpan.FromDays(36500)), "ttl"),
            (SourceResult.Changed(-1), "version"),
        })
        {
            var refused = await Assert.ThrowsAsync<GenfenceInvalidException>(
                () => Cache.UpdateAsync("k", (_, _) => ValueTask.FromResult(wrong)).Within());
            Assert.Equal(field, refused.Field);
            var looked = await Cache.LookupAsync("k").Within();
            Assert.Equal(LookupKind.Leased, looked.Kind);
            looked.Lease!.Dispose();
        }
        await Assert.ThrowsAsync<System.Text.EncoderFallbackException>(
            () => Cache.UpdateAsync("k", (_, _) => ValueTask.FromResult(SourceResult.Committed("\ud800"))).Within());
        using var lease = (await Cache.LookupAsync("k").Within()).Lease;
        Assert.NotNull(lease);
    }

    private async Task AssertLeft(string key, int count)
    {
        var looked = await Cache.LookupAsync(key).Within();
        Assert.Equal((LookupKind.Bypass, BypassReason.Reserved), (looked.Kind, looked.Bypass));
        Assert.Equal(count, Cache.Stats.ReservationsLeft);
    }
}

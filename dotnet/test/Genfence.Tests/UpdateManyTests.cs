using System.Text;

namespace Genfence.Tests;

/// <summary>The keys of one transaction.</summary>
public sealed class UpdateManyTests(WireServer wire) : StoreTest(wire)
{
    [Theory]
    [MemberData(nameof(Stores))]
    public async Task All_are_held_until_the_source_was_changed_and_each_is_told_of(string store)
    {
        var cache = await OpenAsync(store);
        foreach (var key in (string[])["a", "b", "c", "d"])
        {
            Assert.Equal("old", await cache.GetOrFillAsync(key, _ => ValueTask.FromResult("old")).Within());
        }
        var outcomes = await cache.UpdateManyAsync(["b", "a", "b"u8.ToArray(), "c"], async (reservations, cancellation) =>
        {
            await AssertReservedAsync(cache, "a", "b", "c");
            Assert.True((await cache.TryGetAsync<string>("d", cancellationToken: cancellation).Within()).Found);
            await reservations.AddAsync("d", cancellation).Within();
            await reservations.AddAsync("a", cancellation).Within();
            await AssertReservedAsync(cache, "d");
            Assert.Equal(4, reservations.Count);
            Assert.True(reservations.IsHeld && reservations.Remaining > TimeSpan.Zero);
            Assert.True(await reservations.RenewAsync(cancellation).Within());
            return SourceResults.Changed().With("a", "new").With("c", SourceResult.RolledBack);
        }).Within();
        Assert.Equal(
            [("b", UpdateOutcome.Purged), ("a", UpdateOutcome.Stored), ("c", UpdateOutcome.RolledBack), ("d", UpdateOutcome.Purged)],
            outcomes.Select(one => (one.Key.Text, one.Value)));
        Assert.Equal("new", (await cache.TryGetAsync<string>("a").Within()).Value);
        await AssertFreeAsync(cache, "b", "c", "d");
    }

    [Theory]
    [MemberData(nameof(Stores))]
    public async Task A_writer_that_crosses_one_key_loses_the_value_of_that_key_alone(string store)
    {
        var cache = await OpenAsync(store);
        using var reservations = await cache.ReserveManyAsync(["a", "b"]).Within();
        using (var other = await cache.ReserveAsync("b").Within())
        {
            var outcomes = await reservations.CommitAsync(SourceResults.Changed().With("a", 1).With("b", 2)).Within();
            Assert.Equal([UpdateOutcome.Stored, UpdateOutcome.Purged], outcomes.Select(one => one.Value));
            await other.AbortAsync().Within();
        }
        Assert.False((await cache.TryGetAsync<int>("b").Within()).Found);
    }

    [Fact]
    public async Task What_is_rolled_back_gives_all_back_and_its_cause_is_thrown()
    {
        var cache = await OpenAsync(Memory);
        var outcomes = await cache.UpdateManyAsync(["a", "b"], (_, _) => ValueTask.FromResult(SourceResults.RolledBack)).Within();
        Assert.All(outcomes, one => Assert.Equal(UpdateOutcome.RolledBack, one.Value));
        await AssertFreeAsync(cache, "a", "b");
        var cause = new InvalidOperationException("a constraint");
        Assert.Same(cause, await Assert.ThrowsAsync<InvalidOperationException>(() => cache.UpdateManyAsync(
            ["a", "b"], (_, _) => ValueTask.FromResult(SourceResults.RolledBackBy(cause))).Within()));
        await AssertFreeAsync(cache, "a", "b");
    }

    [Fact]
    public async Task After_an_exception_all_are_left_as_nobody_knows()
    {
        var cache = await OpenAsync(Memory);
        await Assert.ThrowsAsync<TimeoutException>(
            () => cache.UpdateManyAsync(["a", "b"], (_, _) => throw new TimeoutException("no answer to COMMIT")).Within());
        await AssertReservedAsync(cache, "a", "b");
        Assert.Equal(2, cache.Stats.ReservationsLeft);
        using (await cache.ReserveManyAsync(["c"]).Within())
        {
        }
        await AssertReservedAsync(cache, "c");
    }

    [Fact]
    public async Task Where_one_is_not_reserved_none_is_and_the_error_names_it()
    {
        var cache = await OpenAsync(Wire, "attempts=1&merge=false");
        using var reservations = await cache.ReserveManyAsync(["kept"]).Within();
        await Server.OrderAsync("lose-requests 1");
        var refused = await Assert.ThrowsAsync<GenfenceStoreException>(
            () => reservations.AddAsync(["a", "b", "c"]).Within());
        await Server.OrderAsync("clear");
        Assert.Matches("did not answer: key \"[abc]\": ", refused.Message);
        Assert.True(refused.MayRetry);
        Assert.Equal(1, reservations.Count);
        await AssertReservedAsync(cache, "kept");
        // What may have been reserved is aborted in the background, and each of the others was.
        foreach (var key in (string[])["a", "b", "c"])
        {
            await Support.UntilAsync(() => cache.LookupAsync(key).AsTask().Result is { Lease: { } lease } && Gone(lease));
        }
        Assert.All(await reservations.ReleaseAsync().Within(), one => Assert.Equal(UpdateOutcome.Purged, one.Value));
    }

    [Fact]
    public async Task What_is_out_of_bounds_is_named_and_nothing_is_held()
    {
        var cache = await OpenAsync(Memory);
        foreach (var (keys, message) in new (IEnumerable<CacheKey>, string)[]
        {
            ([], "keys: 0 keys, must be 1 to 10000"),
            (Enumerable.Range(0, 10_001).Select(key => (CacheKey)$"{key}"), "keys: more than 10000 keys, must be 1 to 10000"),
            (["a", ""], "key: key \"\": 0 bytes, must be 1 to"),
        })
        {
            var refused = await Assert.ThrowsAsync<GenfenceInvalidException>(() => cache.ReserveManyAsync(keys).Within());
            Assert.StartsWith(message, refused.Message, StringComparison.Ordinal);
        }
        await AssertFreeAsync(cache, "a", "0");
    }

    [Fact]
    public async Task Of_what_the_closure_says_wrong_the_others_are_told_all_the_same()
    {
        var cache = await OpenAsync(Memory);
        var wrong = SourceResults.Changed().With("a", "\ud800").With("b", "new");
        await Assert.ThrowsAsync<EncoderFallbackException>(
            () => cache.UpdateManyAsync(["a", "b", "c"], (_, _) => ValueTask.FromResult(wrong)).Within());
        Assert.Equal("new", (await cache.TryGetAsync<string>("b").Within()).Value);
        await AssertFreeAsync(cache, "a", "c");

        var unknown = SourceResults.Changed().With("z", "z");
        var refused = await Assert.ThrowsAsync<GenfenceInvalidException>(
            () => cache.UpdateManyAsync(["a"], (_, _) => ValueTask.FromResult(unknown)).Within());
        Assert.Equal("key: key \"z\" is not among the reserved ones", refused.Message);
        await AssertFreeAsync(cache, "a");
    }

    [Fact]
    public async Task What_is_reserved_when_nobody_waits_for_it_any_more_is_given_back_or_told_of_with_the_others()
    {
        var cache = await OpenAsync(Wire, "attempts=1&merge=false");
        using var reservations = await cache.ReserveManyAsync(["kept"]).Within();
        Server.Signal(WireServer.Stop);
        using (var cancelled = new CancellationTokenSource(50))
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cache.ReserveManyAsync(["a", "b"], cancelled.Token).Within());
        }
        using (var cancelled = new CancellationTokenSource(50))
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reservations.AddAsync(["c"], cancelled.Token).Within());
        }
        Server.Signal(WireServer.Continue);
        foreach (var key in (string[])["a", "b"])
        {
            await Support.UntilAsync(() => cache.LookupAsync(key).AsTask().Result is { Lease: { } lease } && Gone(lease));
        }
        Assert.Equal(1, reservations.Count);
        var outcomes = await reservations.CommitAsync(SourceResults.Changed().With("kept", "new")).Within();
        Assert.Equal([("kept", UpdateOutcome.Stored)], outcomes.Select(one => (one.Key.Text, one.Value)));
        await Support.UntilAsync(() => cache.LookupAsync("c").AsTask().Result is { Lease: { } lease } && Gone(lease));
        await AssertFreeAsync(cache, "a", "b", "c");
    }

    private static async Task AssertReservedAsync(GenfenceCache cache, params string[] keys)
    {
        foreach (var key in keys)
        {
            var looked = await cache.LookupAsync(key).Within();
            Assert.Equal((LookupKind.Bypass, BypassReason.Reserved), (looked.Kind, looked.Bypass));
        }
    }

    private static bool Gone(Lease lease)
    {
        lease.Dispose();
        return true;
    }

    private static async Task AssertFreeAsync(GenfenceCache cache, params string[] keys)
    {
        foreach (var key in keys)
        {
            using var lease = (await cache.LookupAsync(key).Within()).Lease;
            Assert.NotNull(lease);
        }
    }
}

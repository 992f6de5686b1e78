using System.Buffers;
using Genfence.Extensions.Caching;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;

namespace Genfence.Tests;

/// <summary>Which set is the fill of a miss, and which is blind.</summary>
public sealed partial class DistributedCacheTests
{
    [Theory, MemberData(nameof(Stores))]
    public async Task A_set_after_the_only_miss_is_its_fill(string store)
    {
        await Open(store);
        Assert.Null(await _distributed.GetAsync("k"));
        Assert.Equal(1, Stats.Leases);
        await Set("value");
        Assert.Equal(1, Stats.FillsStored);
        Assert.Equal("value", await Get());
        // No miss came before this one.
        await Set("again");
        Assert.Equal((1, 0), (Stats.FillsStored, Stats.FillsRejected));
        Assert.Equal("again", await Get());
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_value_that_was_read_before_a_change_is_not_set(string store)
    {
        await Open(store);
        foreach (var change in new Func<Task>[]
        {
            () => _distributed.RemoveAsync("k"),
            () => _cache.InvalidateAsync("k", 7).Within(),
            Change,
            // Also one that is still under way.
            () => _cache.ReserveAsync("k").Within(),
        })
        {
            var rejected = Stats.FillsRejected;
            Assert.Null(await Get());
            await change();
            await Set("old");
            Assert.Equal(rejected + 1, Stats.FillsRejected);
            Assert.Null(await _cache.GetAsync("k").Within());
        }
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task Of_two_misses_neither_fills(string store)
    {
        await Open(store);
        Assert.Null(await Get());
        // The first has read the source by now; the lease of a second would not know of this change.
        await Change();
        Assert.Null(await Get());
        Assert.Equal(1, Stats.Leases);
        await Set("of one of them");
        await Set("of the other");
        Assert.Equal((0, 0), (Stats.FillsStored, Stats.FillsRejected));
        Assert.Equal("of the other", await Get());
        await AssertFillsAgain();
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_value_past_its_last_moment_is_a_miss_with_a_lease(string store)
    {
        await Open(store);
        await Set("ended", last: 60);
        _time.Advance(TimeSpan.FromSeconds(60));
        // The store still has it.
        Assert.NotNull(await _cache.GetAsync("k").Within());
        Assert.Null(await Get());
        await Change();
        await Set("old");
        Assert.Equal((1, 1), (Stats.Leases, Stats.FillsRejected));
        Assert.Null(await _cache.GetAsync("k").Within());
        await AssertFillsAgain();
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task Of_two_misses_of_an_ended_value_neither_fills(string store)
    {
        await Open(store);
        await Set("ended", last: 60);
        _time.Advance(TimeSpan.FromSeconds(60));
        Assert.Null(await Get());
        Assert.Null(await Get());
        await Set("of one of them");
        await Set("of the other");
        Assert.Equal((1, 0, 0), (Stats.Leases, Stats.FillsStored, Stats.FillsRejected));
        await AssertFillsAgain();
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_set_that_threw_does_not_make_its_retry_blind(string store)
    {
        await Open(store);
        Assert.Null(await Get());
        await Change();
        await SetTooMuch();
        await Set("old");
        await Set("old, once more");
        Assert.Null(await _cache.GetAsync("k").Within());
        // The next get has a lease of its own.
        await AssertFillsAgain();
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_set_that_was_refused_before_anything_was_done_leaves_the_miss_its_fill(string store)
    {
        await Open(store);
        var past = new DistributedCacheEntryOptions { AbsoluteExpiration = _time.GetUtcNow().AddSeconds(-1) };
        foreach (var isChanged in new[] { true, false })
        {
            Assert.Null(await Get());
            await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => _distributed.SetAsync("k", [1], past));
            if (isChanged)
            {
                await Change();
            }
            await Set("read");
            Assert.Equal(isChanged, await _cache.GetAsync("k").Within() is null);
            await AssertFillsAgain();
            await _distributed.RemoveAsync("k");
        }
    }

    [Theory, InlineData(false), InlineData(true)]
    public async Task A_set_that_was_cancelled_under_way_does_not_make_its_retry_blind(bool isMissedMeanwhile)
    {
        await Open(Wire);
        Assert.Null(await Get());
        using var cancelled = new CancellationTokenSource();
        Server.Signal(WireServer.Stop);
        var set = _distributed.SetAsync("k", [1], s_plain, cancelled.Token);
        if (isMissedMeanwhile)
        {
            await GetCancelled();
        }
        await cancelled.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => set.WaitAsync(Support.Patience));
        Server.Signal(WireServer.Continue);
        await Support.AssertNothingIsInFlightAsync();
        await Change();
        await Set("old");
        Assert.Null(await _cache.GetAsync("k").Within());
        if (isMissedMeanwhile)
        {
            Assert.Null(await Get());
            await Set("of one of them");
            await Set("of the other");
            Assert.Equal("of the other", await Get());
        }
        await AssertFillsAgain();
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_set_without_a_get_takes_the_lease_of_who_missed(string store)
    {
        await Open(store);
        Assert.Null(await Get());
        await Change();
        // By whoever made the change: taken for the fill of the miss, and then the set of the miss is one too many.
        await Set("new");
        Assert.Equal(1, Stats.FillsRejected);
        await Set("old");
        Assert.Equal("old", await Get());
        // So whoever did not get removes.
        await _distributed.RemoveAsync("k");
        Assert.Null(await Get());
        await Change();
        await _distributed.RemoveAsync("k");
        await Set("old");
        Assert.Equal(2, Stats.FillsRejected);
        Assert.Null(await _cache.GetAsync("k").Within());
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_second_miss_gives_the_lease_back(string store)
    {
        await Open(store);
        Assert.Null(await Get());
        Assert.Equal(BypassReason.Slow, (await _cache.LookupNowAsync("k").Within()).Bypass);
        Assert.Null(await Get());
        using var lease = (await _cache.LookupAsync("k").Within()).Lease;
        Assert.NotNull(lease);
        Assert.Equal(1, Stats.LeasesReturned);
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task Of_three_misses_the_last_does_not_fill_either(string store)
    {
        await Open(store);
        Assert.Null(await Get());
        Assert.Null(await Get());
        await Set("of one of them");
        await _distributed.RemoveAsync("k");
        // One of the first two is still to set, perhaps what it read before the removal.
        Assert.Null(await Get());
        await Set("of the third, or not");
        await Set("of the rest");
        Assert.Equal((1, 0, 0), (Stats.Leases, Stats.FillsStored, Stats.FillsRejected));
        await AssertFillsAgain();
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_lease_after_a_bypass_is_not_taken(string store)
    {
        await Open(store);
        using var writer = await _cache.ReserveAsync("k").Within();
        Assert.Null(await Get());
        await writer.ReleaseAsync().Within();
        // The set of the bypass is still to come, with what it read under the writer.
        Assert.Null(await Get());
        Assert.Equal(0, Stats.Leases);
        await Set("of one of them");
        await Set("of the other");
        Assert.Equal((0, 0), (Stats.FillsStored, Stats.FillsRejected));
        Assert.Equal("of the other", await Get());
        await AssertFillsAgain();
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_bypass_beside_a_lease_makes_both_sets_blind(string store)
    {
        await Open(store);
        Assert.Null(await Get());
        using var writer = await _cache.ReserveAsync("k").Within();
        Assert.Null(await Get());
        // Blind, and beside a live writer: busy.
        await Set("of one of them");
        Assert.Null(await _cache.GetAsync("k").Within());
        Assert.Equal(CommitOutcome.Stored, await writer.CommitAsync(Support.Bytes("of the writer, unread here")).Within());
        await Set("of the other");
        Assert.Equal((0, 0), (Stats.FillsStored, Stats.FillsRejected));
        Assert.Equal("of the other", await Get());
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_set_after_a_lone_bypass_is_blind(string store)
    {
        await Open(store);
        using var writer = await _cache.ReserveAsync("k").Within();
        Assert.Null(await Get());
        await writer.AbortAsync().Within();
        await Set("value");
        Assert.Equal((0, 0, 0), (Stats.Leases, Stats.FillsStored, Stats.FillsRejected));
        Assert.Equal("value", await Get());
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_late_set_stores_nothing(string store)
    {
        await Open(store, "lease_time=20ms&load_time=20ms&wait=20s");
        Assert.Null(await Get("alone"));
        var waited = System.Diagnostics.Stopwatch.StartNew();
        while (Stats.LeasesReturned == 0 && waited.Elapsed < Support.Patience)
        {
            await Task.Delay(1);
        }
        await Set("late", "alone");
        Assert.Equal(1, Stats.FillsRejected);
        Assert.Null(await _cache.GetAsync("alone").Within());
        // Also where another caller has come, and was given a lease.
        Assert.Null(await Get());
        using var another = (await _cache.LookupAsync("k").Within()).Lease;
        Assert.NotNull(another);
        await Set("late");
        Assert.Equal(2, Stats.FillsRejected);
        Assert.Null(await _cache.GetAsync("k").Within());
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_get_waits_for_nobody(string store)
    {
        await Open(store, "wait=1m&lease_time=1m");
        using var held = (await _cache.LookupAsync("k").Within()).Lease!;
        Assert.Null(await _distributed.GetAsync("k").WaitAsync(Support.Patience));
        Assert.Null(await _distributed.GetAsync("k").WaitAsync(Support.Patience));
        // Blind sets, and so the fill that was under way is over.
        await Set("value");
        Assert.Equal(FillOutcome.Rejected, await held.FillAsync(Support.Bytes("old")).Within());
        Assert.Equal("value", await Get());
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_get_that_failed_counts_as_a_miss(string store)
    {
        await Open(store);
        await GetCancelled();
        Assert.Null(await Get());
        Assert.Equal(0, Stats.Leases);
        // What is cancelled before it begins is no set.
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => _distributed.SetAsync("k", [1], s_plain, new CancellationToken(true)));
        await Set("of one of them");
        await Set("of the other");
        await AssertFillsAgain();
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task Disposing_gives_the_leases_back(string store)
    {
        await Open(store);
        Assert.Null(await Get());
        _distributed.Dispose();
        using (var lease = (await _cache.LookupAsync("k").Within()).Lease)
        {
            Assert.NotNull(lease);
        }
        Assert.Null(await Get("later"));
        Assert.Equal(LookupKind.Leased, await Free("later"));
    }

    [Fact]
    public async Task Misses_without_a_set_hold_no_more_leases_than_the_bound()
    {
        await Open(Memory);
        for (var i = 0; i <= Misses.MaxKeys; i++)
        {
            Assert.Null(await Get($"k{i}"));
        }
        Assert.Equal((long)Misses.MaxKeys, Support.Live().Leases);
        Assert.Equal(LookupKind.Leased, await Free("k0"));
        await Set("forgotten", "k0");
        Assert.Equal(0, Stats.FillsStored);
        await Set("remembered", "k1");
        Assert.Equal(1, Stats.FillsStored);
    }

    [Fact]
    public async Task A_miss_without_a_set_is_forgotten_in_time()
    {
        await Open(Memory);
        Assert.Null(await Get());
        _time.Advance(Misses.MaxAge / 2);
        Assert.Null(await Get());
        await Set("of one of them");
        await _distributed.RemoveAsync("k");
        // The second was taken off, so that the first still gets old.
        _time.Advance((Misses.MaxAge / 2) + TimeSpan.FromSeconds(1));
        await AssertFillsAgain();

        await _distributed.RemoveAsync("k");
        Assert.Null(await Get());
        _time.Advance(Misses.MaxAge + TimeSpan.FromSeconds(1));
        var filled = Stats.FillsStored;
        await Set("far too late");
        Assert.Equal((filled, 0L), (Stats.FillsStored, Support.Live().Leases));
    }

    [Fact]
    public async Task A_miss_gets_old_also_behind_younger_ones_of_other_keys()
    {
        await Open(Memory);
        Assert.Null(await Get());
        _time.Advance(Misses.MaxAge / 2);
        Assert.Null(await Get("other"));
        // Newer than the other key's, and taken off again.
        Assert.Null(await Get());
        await Set("of one of them");
        await _distributed.RemoveAsync("k");
        _time.Advance((Misses.MaxAge / 2) + TimeSpan.FromSeconds(1));
        await AssertFillsAgain();
    }

    [Fact]
    public async Task A_get_that_threw_is_forgotten_sooner()
    {
        await Open(Memory);
        await GetCancelled();
        _time.Advance(Misses.MaxAgeOfThrown);
        Assert.Null(await Get());
        Assert.Equal(0, Stats.Leases);
        await Set("of one of them");
        await _distributed.RemoveAsync("k");
        _time.Advance(TimeSpan.FromTicks(1));
        await AssertFillsAgain();

        // Beside one that was answered, whichever came first, the longer time counts.
        await _distributed.RemoveAsync("k");
        Assert.Null(await Get());
        await GetCancelled();
        _time.Advance(Misses.MaxAge);
        var leases = Stats.Leases;
        Assert.Null(await Get());
        Assert.Equal(leases, Stats.Leases);
        await Set("of one of them");
        _time.Advance(TimeSpan.FromTicks(1));
        await AssertFillsAgain();
    }

    [Fact]
    public async Task A_lookup_that_threw_is_forgotten_sooner_too()
    {
        await Open(Wire, "attempts=1&max_errors=0&unreachable_read=error&wait=20s&lease_time=1m");
        await Server.OrderAsync("lose-requests 1");
        await Assert.ThrowsAsync<GenfenceStoreException>(() => _distributed.GetAsync("k"));
        _time.Advance(Misses.MaxAgeOfThrown);
        Assert.Null(await Get());
        await Set("of one of them");
        Assert.Equal((0, 0), (Stats.Leases, Stats.FillsStored));
        _time.Advance(TimeSpan.FromTicks(1));
        await AssertFillsAgain();
    }

    [Fact]
    public async Task A_get_that_threw_does_not_make_a_retry_blind()
    {
        await Open(Memory);
        Assert.Null(await Get());
        await Change();
        await SetTooMuch();
        await GetCancelled();
        await Set("old");
        Assert.Null(await _cache.GetAsync("k").Within());
        // With the one that threw it is two.
        Assert.Null(await Get());
        await Set("of one of them");
        await Set("of the other");
        Assert.Equal((1, 0), (Stats.Leases, Stats.FillsStored));
        Assert.Equal("of the other", await Get());
        await AssertFillsAgain();

        // But not when it has been forgotten.
        await _distributed.RemoveAsync("k");
        Assert.Null(await Get());
        await SetTooMuch();
        await GetCancelled();
        _time.Advance(Misses.MaxAgeOfThrown + TimeSpan.FromTicks(1));
        await Set("old");
        Assert.Null(await _cache.GetAsync("k").Within());
        await AssertFillsAgain();
    }

    [Fact]
    public async Task A_key_that_is_only_ever_missed_is_bounded_too()
    {
        await Open(Memory);
        for (var i = 0; i < 1000; i++)
        {
            Assert.Null(await Get());
        }
        for (var i = 0; i < 1000; i++)
        {
            await Set("blind");
        }
        await _distributed.RemoveAsync("k");
        Assert.Null(await Get());
        await Set("blind");
        Assert.Equal((1, 0), (Stats.Leases, Stats.FillsStored));
        _time.Advance(Misses.MaxAge + TimeSpan.FromSeconds(1));
        await AssertFillsAgain();
    }

    [Fact]
    public async Task Gets_and_sets_that_race_a_dispose_leave_no_lease()
    {
        const int Rounds = 10, Callers = 16, Calls = 100;
        long filled = 0;
        for (var round = 0; round < Rounds; round++)
        {
            await Open(Memory, "wait=20s");
            var (cache, distributed) = (_cache, _distributed);
            var calls = 0;
            var enough = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            var callers = Enumerable.Range(0, Callers).Select(caller => Task.Run(async () =>
            {
                var random = new Random(caller);
                for (var i = 0; i < Calls; i++)
                {
                    var key = $"k{random.Next(50)}";
                    using var source = new CancellationTokenSource();
                    var get = distributed.GetAsync(key, source.Token);
                    if (random.Next(3) == 0)
                    {
                        source.Cancel();
                    }
                    try
                    {
                        if (await get is null && random.Next(4) > 0)
                        {
                            await distributed.SetAsync(key, [1], s_plain);
                        }
                        else if (random.Next(2) == 0)
                        {
                            await distributed.RemoveAsync(key);
                        }
                    }
                    catch (OperationCanceledException)
                    {
                        // Ended.
                    }
                    if (Interlocked.Increment(ref calls) == Callers * Calls / 2)
                    {
                        enough.SetResult();
                    }
                }
            })).ToArray();
            await enough.Task.WaitAsync(Support.Patience);
            distributed.Dispose();
            await Task.WhenAll(callers).WaitAsync(Support.Patience);
            Assert.Equal(0L, Support.Live().Leases);
            filled += cache.Stats.FillsStored;
        }
        Assert.True(filled > 0);
    }
}

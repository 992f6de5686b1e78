using System.Buffers;

namespace Genfence.Tests;

/// <summary>Many keys at once: however it ends, what was leased is filled or given back.</summary>
public class ManyTests : CacheTest
{
    [Fact]
    public async Task Changes_of_a_stream_leave_each_key_with_its_newest_version()
    {
        var many = Enumerable.Range(0, 2500).Select(i => ($"k{i}", (long?)5));
        await Cache.InvalidateManyAsync([("a", 1), ("a", 3), ("a", 2), .. many]).Within();
        Assert.Equal<long?>([3, 5, 5], [await Floor("a"), await Floor("k0"), await Floor("k2499")]);
        await Cache.InvalidateManyAsync([("a", 1)]).Within();
        Assert.Equal(3, await Floor("a"));

        await Cache.SetAsync("plain", "x").Within();
        await Cache.InvalidateManyAsync([("plain", null)]).Within();
        Assert.Null(await Cache.GetAsync("plain").Within());

        var refused = await Assert.ThrowsAsync<GenfenceInvalidException>(
            () => Cache.InvalidateManyAsync([("a", 7), ("b", -1)]).Within());
        Assert.Equal("version", refused.Field);
        Assert.Equal(3, await Floor("a"));
    }

    private async Task<long?> Floor(string key) => (await Cache.InspectAsync(key).Within())?.Floor;

    [Fact]
    public async Task A_load_that_fails_gives_all_leases_back()
    {
        await Assert.ThrowsAsync<TimeoutException>(() => Cache.GetOrFillManyAsync<string>(
            ["a", "b", "a", "b", "c"], (_, _) => throw new TimeoutException()).Within());
        await AssertGivenBack("a", "b", "c");
    }

    [Fact]
    public async Task A_load_that_is_cancelled_gives_all_leases_back_and_stores_nothing()
    {
        using var source = new CancellationTokenSource();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Cache.GetOrFillManyAsync<string>(
            ["a", "b"],
            (keys, _) =>
            {
                source.Cancel();
                return Echo(keys);
            },
            cancellationToken: source.Token).Within());
        await AssertGivenBack("a", "b");
    }

    [Fact]
    public async Task A_load_that_answers_null_says_so_and_gives_all_leases_back()
    {
        var refused = await Assert.ThrowsAsync<GenfenceInvalidException>(() => Cache.GetOrFillManyAsync<string>(
            ["a", "b"], (_, _) => ValueTask.FromResult<IReadOnlyDictionary<string, string>>(null!)).Within());
        Assert.Equal("factory", refused.Field);
        await AssertGivenBack("a", "b");
    }

    [Fact]
    public async Task A_value_that_cannot_be_written_is_returned_and_gives_all_leases_back()
    {
        var many = await Cache.GetOrFillManyAsync(["a", "b"], (keys, _) => Echo(keys), new Unwritable()).Within();
        Assert.Equal(("a", "b"), (many["a"], many["b"]));
        await AssertGivenBack("a", "b");
    }

    [Fact]
    public async Task Cancelling_while_another_fills_keeps_what_was_loaded_and_loads_no_more()
    {
        using var held = (await Cache.LookupAsync("b").Within()).Lease!;
        using var source = new CancellationTokenSource();
        var loads = 0;
        var loading = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var many = Cache.GetOrFillManyAsync<string>(
            ["a", "b"],
            (keys, _) =>
            {
                Interlocked.Increment(ref loads);
                loading.TrySetResult();
                return Echo(keys);
            },
            cancellationToken: source.Token);
        await loading.Task.WaitAsync(Support.Patience);
        // Waits for the fill.
        Assert.Equal("a", Support.Text((await Cache.LookupAsync("a").Within()).Hit));
        await source.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => many.Within());
        Assert.Equal(1, loads);
        Assert.Equal(FillOutcome.Stored, await held.FillAsync([1]).Within());
    }

    private static ValueTask<IReadOnlyDictionary<string, string>> Echo(IReadOnlyList<string> keys) =>
        ValueTask.FromResult<IReadOnlyDictionary<string, string>>(keys.ToDictionary(key => key));

    private async Task AssertGivenBack(params string[] keys)
    {
        await Support.AssertNothingIsInFlightAsync();
        foreach (var key in keys)
        {
            // Waits for what is given back in the background, and not longer than another's lease is waited for.
            using var lease = (await Cache.LookupAsync(key).Within()).Lease;
            Assert.NotNull(lease);
        }
    }

    private sealed class Unwritable : IGenfenceSerializer<string>
    {
        public string Deserialize(ReadOnlySpan<byte> bytes) => throw new NotSupportedException();

        public void Serialize(string value, IBufferWriter<byte> target) => throw new NotSupportedException();
    }
}

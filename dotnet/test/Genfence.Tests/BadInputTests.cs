namespace Genfence.Tests;

public class BadInputTests : CacheTest
{
    [Fact]
    public Task An_empty_key_names_the_key() => RefusesKey("");

    [Fact]
    public Task Two_texts_that_are_no_text_do_not_become_one_key() => RefusesKey("\ud800");

    private async Task RefusesKey(string key)
    {
        foreach (var call in new Func<Task>[]
        {
            () => Cache.GetAsync(key).Within(),
            () => Cache.LookupAsync(key).Within(),
            () => Cache.ReserveAsync(key).Within(),
            () => Cache.SetAsync(key, "x").Within(),
            () => Cache.InvalidateAsync(key).Within(),
            () => Cache.InvalidateManyAsync([("a", 1), (key, 1)]).Within(),
            () => Cache.TouchAsync(key, TimeSpan.FromMinutes(1)).Within(),
            () => Cache.ReplaceAsync(key, 1, null).Within(),
            () => Cache.GetOrFillAsync(key, _ => ValueTask.FromResult("x")).Within(),
            () => Cache.GetOrFillManyAsync<string>([key], (_, _) => throw new InvalidOperationException("ran")).Within(),
        })
        {
            var refused = await Assert.ThrowsAsync<GenfenceInvalidException>(call);
            Assert.Equal("key", refused.Field);
        }
    }

    [Fact]
    public async Task A_key_that_is_too_long_names_the_bound()
    {
        var refused = await Assert.ThrowsAsync<GenfenceInvalidException>(
            () => Cache.GetAsync(new string('k', 2000)).Within());
        Assert.Contains("1024", refused.Message, StringComparison.Ordinal);
        // Longer than what is kept on the stack, and within the bound.
        Assert.Null(await Cache.GetAsync(new string('k', 1000)).Within());
    }

    [Theory]
    [InlineData("nonsense")]
    [InlineData("memory://?ttl=never")]
    [InlineData("memory://?colour=red")]
    [InlineData("memory://?wait=1s\0")]
    public async Task A_url_that_makes_no_sense_is_refused(string url) =>
        await Assert.ThrowsAsync<GenfenceInvalidException>(() => GenfenceCache.ConnectAsync(url));

    [Fact]
    public async Task A_password_is_never_repeated()
    {
        var refused = await Assert.ThrowsAnyAsync<GenfenceException>(
            () => GenfenceCache.ConnectAsync("aerospike://ada:s3cret@127.0.0.1:1/test/cache?connect_timeout=100ms"));
        Assert.DoesNotContain("s3cret", refused.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Options_out_of_bounds_are_named()
    {
        var refused = await Assert.ThrowsAsync<GenfenceInvalidException>(
            () => GenfenceCache.ConnectAsync("memory://", new GenfenceOptions { WorkerThreads = 257 }));
        Assert.Equal("worker_threads", refused.Field);
        refused = await Assert.ThrowsAsync<GenfenceInvalidException>(
            () => GenfenceCache.ConnectAsync("memory://", new GenfenceOptions { CloseTimeout = TimeSpan.FromSeconds(-1) }));
        Assert.Equal("CloseTimeout", refused.Field);
    }

    [Fact]
    public async Task A_version_and_a_time_out_of_bounds_are_named_and_use_nothing_up()
    {
        using var reservation = await Cache.ReserveAsync("k").Within();
        var refused = await Assert.ThrowsAsync<GenfenceInvalidException>(
            () => reservation.CommitAsync(null, version: -1).Within());
        Assert.Equal("version", refused.Field);
        refused = await Assert.ThrowsAsync<GenfenceInvalidException>(
            () => reservation.CommitAsync(null, timeToLive: TimeSpan.Zero).Within());
        Assert.Equal("ttl", refused.Field);
        Assert.Equal(CommitOutcome.Stored, await reservation.CommitAsync(null).Within());
        refused = await Assert.ThrowsAsync<GenfenceInvalidException>(
            () => Cache.SetAsync("k", "x", TimeSpan.FromDays(36500)).Within());
        Assert.Equal("ttl", refused.Field);
    }

    [Fact]
    public async Task A_value_that_is_too_large_is_returned_and_not_stored()
    {
        var large = new byte[2 << 20];
        Assert.Same(large, await Cache.GetOrFillAsync("k", _ => ValueTask.FromResult(large)).Within());
        Assert.Equal(1, Cache.Stats.Oversized);
        Assert.Null(await Cache.GetAsync("k").Within());
        var outcome = await Cache.UpdateAsync(
            "k", (_, _) => ValueTask.FromResult(SourceResult.Committed(large))).Within();
        Assert.Equal(UpdateOutcome.TooLarge, outcome);
        Assert.Equal(SetOutcome.TooLarge, await Cache.SetBytesAsync("k", large).Within());
        Assert.Equal(ReplaceOutcome.TooLarge, await Cache.ReplaceAsync("k", 1, large).Within());
        using var lease = (await Cache.LookupAsync("k").Within()).Lease!;
        Assert.Equal(FillOutcome.TooLarge, await lease.FillAsync(large).Within());
        using var reservation = await Cache.ReserveAsync("k").Within();
        Assert.Equal(CommitOutcome.TooLarge, await reservation.CommitAsync(large).Within());
        Assert.Equal(6, Cache.Stats.Oversized);
    }
}

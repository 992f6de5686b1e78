namespace Genfence.Tests;

public class InspectTests : CacheTest
{
    [Fact]
    public async Task What_is_known_of_a_key_is_told()
    {
        Assert.Null(await Cache.InspectAsync("k").Within());
        using var reservation = await Cache.ReserveAsync("k").Within();
        var reserved = (await Cache.InspectAsync("k").Within())!;
        Assert.False(reserved.IsStored);
        Assert.InRange(Assert.Single(reserved.ReservedFor), TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(10));
        await reservation.CommitAsync([1, 2, 3], version: 7).Within();
        var stored = (await Cache.InspectAsync("k").Within())!;
        Assert.True(stored.IsStored);
        Assert.Equal((3, 7L, 7L), (stored.ValueBytes, stored.Version, stored.Floor));
        Assert.Empty(stored.ReservedFor);
        Assert.Null(stored.LeasedFor);
        Assert.True(stored.Generation > reserved.Generation && stored.ExpiresIn > TimeSpan.FromMinutes(4));
    }

    [Fact]
    public async Task A_lease_and_nothing_are_told()
    {
        using var lease = (await Cache.LookupAsync("k").Within()).Lease!;
        Assert.True((await Cache.InspectAsync("k").Within())!.LeasedFor > TimeSpan.Zero);
        await lease.FillAsync(null).Within();
        var nothing = (await Cache.InspectAsync("k").Within())!;
        Assert.Equal((true, null), (nothing.IsStored, nothing.ValueBytes));
    }

    [Fact]
    public async Task Several_keys_are_looked_up_without_waiting_for_anybody()
    {
        await Cache.SetAsync("hit", "x").Within();
        using var writer = await Cache.ReserveAsync("reserved").Within();
        using var other = (await Cache.LookupAsync("leased").Within()).Lease!;
        var found = await Cache.LookupManyAsync(["hit", "missing", "reserved", "leased", "missing"]).Within();
        Assert.Equal([120], found[0]!.Value.Hit.Value!);
        using (var lease = found[1]!.Value.Lease!)
        {
            Assert.Equal(FillOutcome.Stored, await lease.FillAsync([1]).Within());
        }
        Assert.Equal(BypassReason.Reserved, found[2]!.Value.Bypass);
        Assert.Equal([null, null], found.Skip(3));
        Assert.Empty(await Cache.LookupManyAsync([]).Within());
        var refused = await Assert.ThrowsAsync<GenfenceInvalidException>(() => Cache.LookupManyAsync(["good", ""]).AsTask());
        Assert.Equal("key", refused.Field);
    }
}

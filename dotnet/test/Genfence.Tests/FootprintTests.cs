using System.Buffers;

namespace Genfence.Tests;

public class FootprintTests : CacheTest
{
    [Fact]
    public async Task A_hit_allocates_nothing_but_its_value()
    {
        const int Hits = 10_000;
        await Cache.SetAsync("user:1", "Ada").Within();
        using var source = new CancellationTokenSource();
        var target = new ArrayBufferWriter<byte>(64);
        long perRead = long.MaxValue, perFill = long.MaxValue;
        // The first rounds warm up the pools and the compiler; what others allocate meanwhile, another round does not.
        for (var round = 0; round < 10; round++)
        {
            var before = GC.GetTotalAllocatedBytes(precise: true);
            for (var i = 0; i < Hits; i++)
            {
                target.ResetWrittenCount();
                Assert.True(await Cache.TryGetAsync("user:1", target, source.Token));
            }
            var between = GC.GetTotalAllocatedBytes(precise: true);
            for (var i = 0; i < Hits; i++)
            {
                _ = await Cache.GetOrFillAsync("user:1", 0, static (_, _) => ValueTask.FromResult(0), Length.Instance, source.Token);
            }
            perRead = Math.Min(perRead, (between - before) / Hits);
            perFill = Math.Min(perFill, (GC.GetTotalAllocatedBytes(precise: true) - between) / Hits);
        }
        Assert.Equal((0, 0), (perRead, perFill));
    }

    private sealed class Length : IGenfenceSerializer<int>
    {
        public static readonly Length Instance = new();

        public void Serialize(int value, IBufferWriter<byte> target) => throw new NotSupportedException();

        public int Deserialize(ReadOnlySpan<byte> bytes) => bytes.Length;
    }
}

using System.Buffers;
using System.Runtime.CompilerServices;

namespace Genfence.Load;

internal sealed class Ours(GenfenceCache cache)
{
    private readonly ArrayBufferWriter<byte>[] _targets =
        [.. Enumerable.Range(0, Keys.MostCallers).Select(_ => new ArrayBufferWriter<byte>(Keys.ValueBytes))];
    private readonly byte[] _value = new byte[Keys.ValueBytes];

    public static async Task<Ours> CreateAsync(GenfenceCache cache)
    {
        foreach (var key in Keys.ToRead)
        {
            await cache.InvalidateAsync(key);
            if (await cache.SetBytesAsync(key, new byte[Keys.ValueBytes]) != SetOutcome.Stored)
            {
                throw new InvalidOperationException("the keys of this test could not be stored");
            }
        }
        return new Ours(cache);
    }

    public ValueTask<bool> GetOrFill(int caller, long number) => cache.GetOrFillAsync(
        Keys.Read(caller, number),
        0,
        static (_, _) => ValueTask.FromException<bool>(new InvalidOperationException("a miss")),
        Expected.Instance)!;

    public ValueTask<bool> TryGet(int caller, long number)
    {
        _targets[caller].ResetWrittenCount();
        return cache.TryGetAsync(Keys.Read(caller, number), _targets[caller]);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<bool> Write(int caller, long number)
    {
        using var reservation = await cache.ReserveAsync(Keys.Write(caller, number));
        return await reservation.CommitAsync(_value) == CommitOutcome.Stored;
    }

    private sealed class Expected : IGenfenceSerializer<bool>
    {
        public static readonly Expected Instance = new();

        public void Serialize(bool value, IBufferWriter<byte> target) => throw new NotSupportedException();

        public bool Deserialize(ReadOnlySpan<byte> bytes) => bytes.Length == Keys.ValueBytes;
    }
}

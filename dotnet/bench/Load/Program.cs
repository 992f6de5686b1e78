// Hits through the whole .NET side: how many a second, what they cost, what they allocate.
//
//     cargo rustc --release --lib --crate-type cdylib --features capi
//     dotnet run -c Release --project dotnet/bench/Load -- [URL] [SECONDS]
//
// Each caller awaits one hit after the other. CPU is that of the whole process, the native threads included.
using System.Buffers;
using System.Diagnostics;
using Genfence;

var url = args.Length > 0 ? args[0] : "memory://";
var time = TimeSpan.FromSeconds(args.Length > 1 ? double.Parse(args[1]) : 2);
const int Keys = 1000, ValueBytes = 100;

await using var cache = await GenfenceCache.ConnectAsync(url);
var keys = Enumerable.Range(0, Keys).Select(i => $"load:{i}").ToArray();
foreach (var key in keys)
{
    await cache.InvalidateAsync(key);
    if (await cache.SetBytesAsync(key, new byte[ValueBytes]) != SetOutcome.Stored)
    {
        throw new InvalidOperationException("the keys of this test could not be stored");
    }
}
Console.WriteLine($"{Keys} keys of {ValueBytes} B, {time.TotalSeconds} s each, {Environment.ProcessorCount} processors");
Console.WriteLine($"{"call",-16}{"callers",8}{"hits/s",12}{"µs CPU/hit",12}{"B/hit",8}");
foreach (var callers in new[] { 1, 32, 128, 256 })
{
    await Run("TryGetAsync", callers, true, (key, target) => cache.TryGetAsync(key, target));
    await Run("GetOrFillAsync", callers, ValueBytes, (key, _) => cache.GetOrFillAsync(
        key, 0, static (_, _) => ValueTask.FromException<int>(new InvalidOperationException("a miss")), Length.Instance));
}

async Task Run<T>(string name, int callers, T hit, Func<string, ArrayBufferWriter<byte>, ValueTask<T>> call)
{
    // The pools fill, and the compiler settles.
    _ = await Measure(callers, TimeSpan.FromSeconds(0.5), hit, call);
    GC.Collect();
    var process = Process.GetCurrentProcess();
    var (cpu, bytes, watch) = (process.TotalProcessorTime, GC.GetTotalAllocatedBytes(precise: true), Stopwatch.StartNew());
    var hits = await Measure(callers, time, hit, call);
    var elapsed = watch.Elapsed;
    bytes = GC.GetTotalAllocatedBytes(precise: true) - bytes;
    process.Refresh();
    cpu = process.TotalProcessorTime - cpu;
    Console.WriteLine(
        $"{name,-16}{callers,8}{hits / elapsed.TotalSeconds,12:N0}{cpu.TotalMicroseconds / hits,12:N2}{(double)bytes / hits,8:N1}");
}

async Task<long> Measure<T>(
    int callers, TimeSpan time, T hit, Func<string, ArrayBufferWriter<byte>, ValueTask<T>> call)
{
    // One end for all: where hits are done at once, callers that come later find it over.
    var end = Stopwatch.GetTimestamp() + (long)(time.TotalSeconds * Stopwatch.Frequency);
    var hits = await Task.WhenAll(Enumerable.Range(0, callers).Select(caller => Task.Run(async () =>
    {
        var target = new ArrayBufferWriter<byte>(ValueBytes);
        var done = 0L;
        for (var next = caller * 37; Stopwatch.GetTimestamp() < end; done++)
        {
            target.ResetWrittenCount();
            next = (next + 7919) % Keys;
            if (!EqualityComparer<T>.Default.Equals(await call(keys[next], target), hit))
            {
                throw new InvalidOperationException("a miss");
            }
        }
        return done;
    })));
    return hits.Sum();
}

internal sealed class Length : IGenfenceSerializer<int>
{
    public static readonly Length Instance = new();

    public void Serialize(int value, IBufferWriter<byte> target) => throw new NotSupportedException();

    public int Deserialize(ReadOnlySpan<byte> bytes) => bytes.Length;
}

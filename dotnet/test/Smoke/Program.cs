// What a program sees that has nothing but the packages.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text.Json.Serialization;
using Genfence;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.DependencyInjection;

var users = GenfenceSerializer.Json(Contracts.Default.User);
var loads = 0;
await using var cache = await GenfenceCache.ConnectAsync("memory://");
for (var i = 0; i < 2; i++)
{
    Expect(new User("Ada"), await cache.GetOrFillAsync("1", _ =>
    {
        loads++;
        return ValueTask.FromResult(new User("Ada"));
    }, users));
}
Expect(1, loads);
Expect(UpdateOutcome.Stored, await cache.UpdateAsync(
    "1", (_, _) => ValueTask.FromResult(SourceResult.Committed(new User("Grace"))), users));
Expect(new User("Grace"), await cache.GetOrFillAsync<User>("1", _ => throw new InvalidOperationException(), users));
Expect(true, (await cache.DiagnoseAsync()).Count > 0);

await using var services = new ServiceCollection()
    .AddGenfence("memory://", options => options.UseJson(Contracts.Default.Options))
    .AddGenfenceHybridCache().BuildServiceProvider();
var hybrid = services.GetRequiredService<HybridCache>();
for (var i = 0; i < 2; i++)
{
    Expect(new User("Ada"), await hybrid.GetOrCreateAsync("1", _ =>
    {
        loads++;
        return ValueTask.FromResult(new User("Ada"));
    }));
}
Expect(2, loads);
Console.WriteLine(
    $"the packages work: {RuntimeInformation.FrameworkDescription}, {RuntimeInformation.RuntimeIdentifier}"
    + (RuntimeFeature.IsDynamicCodeSupported ? "" : ", compiled ahead of time"));

static void Expect<T>(T expected, T actual, [CallerLineNumber] int line = 0)
{
    if (!Equals(expected, actual))
    {
        throw new InvalidOperationException($"line {line}: expected {expected}, got {actual}");
    }
}

internal sealed record User(string Name);

[JsonSerializable(typeof(User))]
internal sealed partial class Contracts : JsonSerializerContext;

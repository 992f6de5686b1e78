// What a program sees that has nothing but the package.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text.Json.Serialization;
using Genfence;

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
Console.WriteLine(
    $"the package works: {RuntimeInformation.FrameworkDescription}, {RuntimeInformation.RuntimeIdentifier}"
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
